package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
	"golang.org/x/sys/unix"
)

// alias marks a device as this instance's, and says whose: "hull network ID".
func (h *Host) alias(id string) string { return h.cfg.name() + " network " + id }

// defaultMTU is that of Ethernet, in bytes.
const defaultMTU = 1500

// bringUp puts a network into the kernel: rules first, then the device.
func (h *Host) bringUp(ctx context.Context, s *state) error {
	if s.Driver != "bridge" {
		return h.checkParent(s)
	}
	if _, err := h.forwarding(s.IPv6); err != nil {
		return err
	}
	if err := h.fw.apply(h.fw.ofNetwork(s), nil); err != nil {
		return err
	}
	s.dev.Lock()
	defer s.dev.Unlock()
	return h.ensureBridge(s)
}

// takeDown takes a network out of the kernel and forgets it. Its device goes before its rules.
func (h *Host) takeDown(s *state) error {
	var errs []error
	if s.Driver == "bridge" {
		s.dev.Lock()
		errs = append(errs, h.route(func(c *rtnl.Conn) error {
			l, err := c.Link(s.Bridge)
			if errors.Is(err, rtnl.ErrNoLink) || err == nil && l.Alias != h.alias(s.ID) {
				return nil // gone, or the user's own
			}
			if err != nil {
				return err
			}
			var p rtnl.Plan
			p.Delete(l.Index, l.Name)
			return c.Apply(&p)
		}))
		s.index = 0
		s.dev.Unlock()
		errs = append(errs, h.fw.apply(nil, h.fw.ofNetwork(s)))
	}
	h.mu.Lock()
	delete(h.networks, s.ID)
	h.mu.Unlock()
	return errors.Join(errs...)
}

// ofNetwork are a network's elements.
func (f *firewall) ofNetwork(s *state) (list []entry) {
	if s.Driver != "bridge" {
		return nil
	}
	name := nft.Join(s.Bridge)
	put := func(set *nft.Set, key string) { list = append(list, entry{set, nft.Elem{Key: key}}) }
	put(f.bridges, name)
	put(f.self, nft.Join(s.Bridge, s.Bridge))
	if s.set.icc {
		put(f.icc, nft.Join(s.Bridge, s.Bridge))
	}
	if s.Internal {
		put(f.internal, name)
		return list
	}
	for i, mode := range []gatewayMode{s.set.mode4, s.set.mode6} {
		if s.set.masquerade && mode != modeRouted {
			put(f.masq[i], name)
		}
		if mode == modeUnprotected {
			put(f.open[i], name)
		}
	}
	return list
}

// ensureBridge makes the bridge and what belongs to it, or puts right what is there. s.dev is held.
func (h *Host) ensureBridge(s *state) error {
	err := h.route(func(c *rtnl.Conn) error {
		l, err := c.Link(s.Bridge)
		switch {
		case errors.Is(err, rtnl.ErrNoLink):
			if l, err = h.makeBridge(c, s); err != nil {
				return err
			}
		case err != nil:
			return err
		case l.Kind != "bridge":
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot use the device %s as the bridge of network %s: it is no bridge", s.Bridge, s.Name))
		case strings.HasPrefix(l.Alias, h.cfg.name()+" network ") && l.Alias != h.alias(s.ID):
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("the bridge %s belongs to another network (%s)", s.Bridge, l.Alias))
		}
		s.mtu = l.MTU
		if err := h.bridgeSysctls(s); err != nil {
			return err
		}
		var p rtnl.Plan
		for _, a := range s.bridgeAddresses() {
			p.Address(l.Index, s.Bridge, a)
		}
		p.Up(l.Index, s.Bridge)
		if err := c.Apply(&p); err != nil {
			return err
		}
		s.index = l.Index
		return nil
	})
	if err != nil {
		return fmt.Errorf("setting up the bridge of network %s: %w", s.Name, err)
	}
	return nil
}

func (h *Host) makeBridge(c *rtnl.Conn, s *state) (rtnl.Link, error) {
	mtu := s.set.mtu
	if mtu == 0 {
		mtu = uplinkMTU(c)
	}
	var p rtnl.Plan
	// A MAC address of its own: a bridge without one changes it with its ports.
	p.Bridge(s.Bridge, s.bridgeMAC(), mtu, h.alias(s.ID))
	if err := c.Apply(&p); err != nil {
		return rtnl.Link{}, err
	}
	return c.Link(s.Bridge)
}

func (s *state) bridgeMAC() net.HardwareAddr {
	return macOf(netip.Addr{}, netip.Addr{}, bridgeSalt(s.ID))
}

func bridgeSalt(id string) (n uint32) {
	for _, c := range []byte(id[:16]) {
		n = n*31 + uint32(c)
	}
	return n
}

// uplinkMTU is the MTU of the device of the host's default route, at most Ethernet's: packets of
// containers leave by it.
func uplinkMTU(c *rtnl.Conn) int {
	mtu := defaultMTU
	routes, err := c.Routes()
	if err != nil {
		return mtu
	}
	links, err := c.Links()
	if err != nil {
		return mtu
	}
	for _, r := range routes {
		for _, l := range links {
			if r.Dst.Bits() == 0 && l.Index == r.Index && l.MTU >= 1280 {
				mtu = min(mtu, l.MTU)
			}
		}
	}
	return mtu
}

// bridgeAddresses are the addresses of the bridge: the gateways, and with IPv6 the link-local one that
// the kernel would make itself, somewhat later: the first question for a neighbour comes from it.
func (s *state) bridgeAddresses() (list []netip.Prefix) {
	for _, sub := range s.Subnets {
		off := s.set.mode4 == modeIsolated || s.set.noGateway4
		if sub.Prefix.Addr().Is6() {
			off = s.set.mode6 == modeIsolated
		}
		if sub.Gateway.IsValid() && !off {
			list = append(list, netip.PrefixFrom(sub.Gateway, sub.Prefix.Bits()))
			if sub.Gateway.Is6() {
				list = append(list, netip.PrefixFrom(linkLocal(s.bridgeMAC()), 64))
			}
		}
	}
	return list
}

// bridgeSysctls prepares the bridge before it has addresses.
func (h *Host) bridgeSysctls(s *state) error {
	off := "1"
	if s.IPv6 {
		off = "0"
	}
	// route_localnet lets the host use ports that are published on 127.0.0.1; the rules guard it.
	// Nobody else can have its addresses, and it asks for its neighbours with the one that the kernel
	// would look for duplicates of first.
	return errors.Join(
		sysctl("ipv6/conf/"+s.Bridge+"/accept_dad", "0"),
		sysctl("ipv6/conf/"+s.Bridge+"/disable_ipv6", off),
		sysctl("ipv6/conf/"+s.Bridge+"/accept_ra", "0"),
		sysctl("ipv4/conf/"+s.Bridge+"/route_localnet", "1"),
	)
}

// sysctl writes a value below /proc/sys/net of the calling thread's network namespace. A kernel
// without IPv6 lacks its files; that is no error.
func sysctl(name, value string) error {
	// Dots of device names (eth0.10) are part of the path here, so nothing is replaced.
	path := filepath.Join("/proc/sys/net", name)
	if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	err := os.WriteFile(path, []byte(value), 0)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "ipv6/") {
		return nil
	}
	return err
}

// forwarding switches forwarding on, once for each family. It returns whether it was off for IPv4.
func (h *Host) forwarding(v6 bool) (wasOff bool, err error) {
	old, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return false, err
	}
	wasOff = strings.TrimSpace(string(old)) == "0"
	if err := sysctl("ipv4/ip_forward", "1"); err != nil {
		return false, fmt.Errorf("switching IPv4 forwarding on: %w", err)
	}
	if !v6 {
		return wasOff, nil
	}
	// A router ignores router advertisements, and with them the host's own way out: devices that
	// listened to them go on doing so with accept_ra = 2 (Linux, ip-sysctl).
	dirs, err := os.ReadDir("/proc/sys/net/ipv6/conf")
	if errors.Is(err, fs.ErrNotExist) {
		return wasOff, nil
	}
	if err != nil {
		return wasOff, err
	}
	if old, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/forwarding"); err == nil && strings.TrimSpace(string(old)) == "0" {
		for _, d := range dirs {
			ra := "ipv6/conf/" + d.Name() + "/accept_ra"
			if v, err := os.ReadFile("/proc/sys/net/" + ra); err == nil && strings.TrimSpace(string(v)) == "1" && d.Name() != "all" && d.Name() != "default" {
				if err := sysctl(ra, "2"); err != nil {
					return wasOff, fmt.Errorf("keeping router advertisements on %s: %w", d.Name(), err)
				}
			}
		}
	}
	if err := sysctl("ipv6/conf/all/forwarding", "1"); err != nil {
		return wasOff, fmt.Errorf("switching IPv6 forwarding on: %w", err)
	}
	return wasOff, nil
}

// checkParent says early that a network on a parent device cannot work.
func (h *Host) checkParent(s *state) error {
	if s.set.parent == "" {
		return nil // internal: containers reach each other alone
	}
	return h.route(func(c *rtnl.Conn) error {
		_, err := c.Link(s.set.parent)
		if errors.Is(err, rtnl.ErrNoLink) {
			return invalid("invalid subinterface vlan name %s, example formatting is eth0.10: there is no device %s", s.set.parent, s.set.parent)
		}
		return err
	})
}

// lacks says that a kernel lacks a kind of device.
func lacks(err error, kind string) error {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("this kernel has no %s devices (CONFIG_%s is not set and there is no module): %v", kind, strings.ToUpper(kind), err))
	}
	return err
}
