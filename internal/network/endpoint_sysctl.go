package network

import (
	"fmt"
	"strings"

	"github.com/hull-dev/hull/internal/network/rtnl"
)

// setting is a file below /proc/sys/net and its new content.
type setting struct{ path, value string }

// endpointSysctls reads Docker's option for the kernel settings of an endpoint's device:
//
//	net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2
//
// IFNAME stands for the device, which is the only one that it can name.
func endpointSysctls(e *Endpoint) (list []setting, err error) {
	text := e.DriverOpts[optSysctls]
	if text == "" {
		return nil, nil
	}
	for _, s := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(s, "=")
		parts := strings.Split(key, ".")
		if !ok || len(parts) != 5 || parts[0] != "net" || parts[3] != "IFNAME" || strings.ContainsAny(value, "\x00\n") {
			return nil, invalid("option %s: %.100q is not of the form net.FAMILY.TYPE.IFNAME.NAME=VALUE", optSysctls, s)
		}
		for _, p := range []string{parts[1], parts[2], parts[4]} {
			if p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				return nil, invalid("option %s: %.100q names no setting", optSysctls, s)
			}
		}
		list = append(list, setting{parts[1] + "/" + parts[2] + "/" + e.Interface + "/" + parts[4], value})
	}
	return list, nil
}

// applySysctls sets them, in the container's namespace.
func applySysctls(b *sandbox, e *Endpoint) error {
	list, err := endpointSysctls(e)
	if err != nil || len(list) == 0 {
		return err
	}
	return rtnl.Inside(int(b.ns.file.Fd()), func() error {
		for _, s := range list {
			if err := sysctl(s.path, s.value); err != nil {
				return fmt.Errorf("setting net/%s: %w", s.path, err)
			}
		}
		return nil
	})
}
