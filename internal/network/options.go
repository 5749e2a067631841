package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// gatewayMode is how packets pass between a bridge and the outside, for one family.
type gatewayMode string

const (
	modeNAT         gatewayMode = "nat"             // translated both ways, the default
	modeUnprotected gatewayMode = "nat-unprotected" // translated, and every port of a container can be reached by its address
	modeRouted      gatewayMode = "routed"          // not translated; published ports are opened, not mapped
	modeIsolated    gatewayMode = "isolated"        // internal networks only: not even the host has an address
)

// settings are a network's driver options, understood.
type settings struct {
	bridge       string
	mtu          int // 0: as the host's way out, at most 1500
	icc          bool
	masquerade   bool
	mode4, mode6 gatewayMode
	hostIP       netip.Addr // ports without a host address are published there; invalid: everywhere
	prefix       string     // of names of devices in containers
	parent       string     // macvlan, ipvlan
	submode      uint32     // their mode, in the kernel's numbers
	noGateway4   bool       // inhibit_ipv4: the bridge gets no address
	isDefault    bool
}

// Docker's names of options.
const (
	optBridgeName  = "com.docker.network.bridge.name"
	optICC         = "com.docker.network.bridge.enable_icc"
	optMasquerade  = "com.docker.network.bridge.enable_ip_masquerade"
	optHostBinding = "com.docker.network.bridge.host_binding_ipv4"
	optInhibit     = "com.docker.network.bridge.inhibit_ipv4"
	optMode4       = "com.docker.network.bridge.gateway_mode_ipv4"
	optMode6       = "com.docker.network.bridge.gateway_mode_ipv6"
	optDefault     = "com.docker.network.bridge.default_bridge"
	optMTU         = "com.docker.network.driver.mtu"
	optPrefix      = "com.docker.network.container_iface_prefix"
	optEnableIPv4  = "com.docker.network.enable_ipv4"
	optEnableIPv6  = "com.docker.network.enable_ipv6"
	optIfName      = "com.docker.network.endpoint.ifname"
	optSysctls     = "com.docker.network.endpoint.sysctls"
	optSpoof       = "hull.network.endpoint.antispoof" // "false": the container routes or bridges for others
)

// maxOptions bounds what a network is given, in bytes of keys and values.
const maxOptions = 64 << 10

// validName is Docker's grammar of names.
func validName(s string) bool {
	if len(s) == 0 || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
			return false
		}
	}
	return true
}

// validDevice says whether the kernel takes a name for a device, and nobody is misled by it.
func validDevice(s string) bool {
	return len(s) > 0 && len(s) < 16 && s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`/:%"'\`, r)
	})
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// understand reads the driver options of a network. Names that it does not know are kept and mean
// nothing, as with Docker.
func understand(driver string, internal bool, opts map[string]string) (s settings, err error) {
	s = settings{icc: true, masquerade: true, mode4: modeNAT, mode6: modeNAT, prefix: "eth"}
	size := 0
	for k, v := range opts {
		if size += len(k) + len(v); size > maxOptions {
			return s, invalid("the options of a network may have %d bytes together", maxOptions)
		}
	}
	flag := func(key string, to *bool) {
		if v, ok := opts[key]; ok && err == nil {
			b, bad := strconv.ParseBool(v)
			if bad != nil {
				err = invalid("option %s: %q is neither true nor false", key, v)
			}
			*to = b
		}
	}
	mode := func(key string, to *gatewayMode) {
		v, ok := opts[key]
		if !ok || v == "" || err != nil {
			return
		}
		*to = gatewayMode(v)
		if !slices.Contains([]gatewayMode{modeNAT, modeUnprotected, modeRouted, modeIsolated}, *to) {
			err = invalid("option %s: unknown gateway mode %q", key, v)
		}
		if *to == modeIsolated && !internal {
			err = invalid("gateway mode 'isolated' can only be used for an internal network")
		}
	}
	flag(optICC, &s.icc)
	flag(optMasquerade, &s.masquerade)
	flag(optInhibit, &s.noGateway4)
	flag(optDefault, &s.isDefault)
	mode(optMode4, &s.mode4)
	mode(optMode6, &s.mode6)
	if err != nil {
		return s, err
	}
	if v, ok := opts[optMTU]; ok {
		if s.mtu, err = strconv.Atoi(v); err != nil || s.mtu < 0 || s.mtu > 65535 || s.mtu > 0 && s.mtu < 68 {
			return s, invalid("option %s: %q is not an MTU (68 to 65535 bytes, 0 for the default)", optMTU, v)
		}
	}
	if v := opts[optBridgeName]; v != "" {
		if s.bridge = v; !validDevice(v) {
			return s, invalid("option %s: %q is no name for a network device", optBridgeName, v)
		}
	}
	if v := opts[optHostBinding]; v != "" {
		if s.hostIP, err = netip.ParseAddr(v); err != nil || s.hostIP.Zone() != "" {
			return s, invalid("option %s: %q is not an IP address", optHostBinding, v)
		}
	}
	if v := opts[optPrefix]; v != "" {
		if s.prefix = v; !validDevice(v + "999") {
			return s, invalid("option %s: %q is no beginning of a device's name", optPrefix, v)
		}
	}
	if driver == "macvlan" || driver == "ipvlan" {
		return s, s.readParent(driver, opts)
	}
	return s, nil
}

// readParent reads the options of the drivers that sit on a device of the host.
func (s *settings) readParent(driver string, opts map[string]string) error {
	if s.parent = opts["parent"]; s.parent != "" && !validDevice(s.parent) {
		return invalid("option parent: %q is no name for a network device", s.parent)
	}
	modes, word := map[string]uint32{"private": 1, "vepa": 2, "bridge": 4, "": 4, "passthru": 8}, opts["macvlan_mode"]
	if driver == "ipvlan" {
		modes, word = map[string]uint32{"l2": 0, "": 0, "l3": 1, "l3s": 2}, opts["ipvlan_mode"]
	}
	var ok bool
	if s.submode, ok = modes[word]; !ok {
		return invalid("requested %s mode %q is not valid", driver, word)
	}
	return nil
}

// settle checks a subnet as it was asked for, and gives it a gateway.
func settle(s Subnet, wantGateway bool) (Subnet, error) {
	if s.Prefix != s.Prefix.Masked() {
		return s, invalid("invalid subnet %s: it should be %s", s.Prefix, s.Prefix.Masked())
	}
	a := s.Prefix.Addr()
	if a.Is4In6() || a.IsMulticast() || a.IsLoopback() || s.Prefix.Bits() == 0 || a.Is4() && s.Prefix.Bits() > 31 {
		return s, invalid("invalid subnet %s", s.Prefix)
	}
	if s.Range.IsValid() {
		s.Range = s.Range.Masked()
		if s.Range.Bits() < s.Prefix.Bits() || !s.Prefix.Contains(s.Range.Addr()) {
			return s, invalid("invalid ip-range %s: parent subnet is an IPv%d block %s", s.Range, version(a), s.Prefix)
		}
	}
	if s.Gateway.IsValid() && !s.Prefix.Contains(s.Gateway) {
		return s, invalid("invalid gateway %s: parent subnet is an IPv%d block %s", s.Gateway, version(a), s.Prefix)
	}
	for name, aux := range s.Aux {
		if !s.Prefix.Contains(aux) {
			return s, invalid("invalid auxiliary address %s (%s): it does not belong to subnet %s", name, aux, s.Prefix)
		}
	}
	if !s.Gateway.IsValid() && wantGateway {
		// The first address that nothing else wants.
		aux := make(map[netip.Addr]bool)
		for _, x := range s.Aux {
			aux[x] = true
		}
		first := s.Prefix.Addr()
		if s.Range.IsValid() {
			first = s.Range.Addr()
		}
		if first == s.Prefix.Addr() && s.Prefix.Bits() < a.BitLen()-1 {
			first = first.Next()
		}
		for s.Gateway = first; aux[s.Gateway]; s.Gateway = s.Gateway.Next() {
		}
		if !s.Prefix.Contains(s.Gateway) {
			return s, invalid("subnet %s has no address left for the gateway", s.Prefix)
		}
	}
	return s, nil
}
