package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/network/rtnl"
)

// DefaultName is the network of containers that ask for none.
const DefaultName = "bridge"

// Create makes a network.
func (h *Host) Create(ctx context.Context, o Options) (*Network, error) {
	if o.Name == DefaultName || o.Name == "host" || o.Name == "none" || o.Name == "default" {
		return nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("operation is not permitted on predefined %s network", o.Name))
	}
	return h.create(ctx, o)
}

func (h *Host) create(ctx context.Context, o Options) (*Network, error) {
	n, set, err := draft(o)
	if err != nil {
		return nil, err
	}
	claims, err := h.routeClaims()
	if err != nil {
		return nil, err
	}
	s, err := h.settleAndRegister(n, set, claims)
	if err != nil {
		return nil, err
	}
	if err := h.bringUp(ctx, s); err != nil {
		return nil, errors.Join(err, h.takeDown(s))
	}
	if err := h.write(n); err != nil {
		return nil, errors.Join(err, h.takeDown(s))
	}
	return n, nil
}

// draft checks what can be checked without looking at the host.
func draft(o Options) (*Network, settings, error) {
	if !validName(o.Name) {
		return nil, settings{}, invalid("invalid network name %.300q: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", o.Name)
	}
	n := &Network{Name: o.Name, Driver: o.Driver, IPv4: o.IPv4 == nil || *o.IPv4, IPv6: o.IPv6, Internal: o.Internal, Attachable: o.Attachable,
		IPAMDriver: o.IPAMDriver, IPAMOpts: o.IPAMOpts, DriverOpts: o.DriverOpts, Labels: o.Labels, Subnets: slices.Clone(o.Subnets)}
	if n.Driver == "" {
		n.Driver = "bridge"
	}
	if n.IPAMDriver == "" {
		n.IPAMDriver = "default"
	}
	switch n.Driver {
	case "bridge", "macvlan", "ipvlan":
	case "host", "none", "null":
		return nil, settings{}, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("only one instance of %q network is allowed", n.Driver))
	default:
		return nil, settings{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("could not find plugin %s in v1 plugin registry: plugin not found", n.Driver))
	}
	if n.IPAMDriver != "default" && n.IPAMDriver != "null" {
		return nil, settings{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("could not find IPAM plugin %s: plugin not found", n.IPAMDriver))
	}
	if err := families(n); err != nil {
		return nil, settings{}, err
	}
	set, err := understand(n.Driver, n.Internal, n.DriverOpts)
	if err != nil {
		return nil, set, err
	}
	var id [32]byte
	rand.Read(id[:])
	n.ID, n.Created = hex.EncodeToString(id[:]), time.Now().UTC()
	return n, set, nil
}

// families reads the options that are about IPv4 and IPv6, and makes one subnet for each family
// that is on.
func families(n *Network) error {
	for key, to := range map[string]*bool{optEnableIPv4: &n.IPv4, optEnableIPv6: &n.IPv6} {
		switch v := n.DriverOpts[key]; v {
		case "":
		case "true", "1":
			*to = true
		case "false", "0":
			*to = false
		default:
			return invalid("driver-opt %q is not a valid bool", key)
		}
	}
	if !n.IPv4 && !n.IPv6 {
		return invalid("IPv4 or IPv6 must be enabled")
	}
	var v4, v6 []Subnet
	for _, s := range n.Subnets {
		switch a := anyAddr(s); {
		case !a.IsValid():
			return invalid("invalid subnet : it has neither prefix nor address")
		case a.Is4():
			v4 = append(v4, s)
		default:
			v6 = append(v6, s)
		}
	}
	if len(v4) > 1 || len(v6) > 1 {
		return invalid("bridge driver doesn't support multiple subnets of one address family")
	}
	n.Subnets = nil
	if n.IPv4 {
		n.Subnets = append(n.Subnets, append(v4, Subnet{})[0])
	} else if len(v4) > 0 {
		return invalid("an IPv4 subnet was given for a network without IPv4")
	}
	switch {
	case n.IPv6 && len(v6) > 0:
		n.Subnets = append(n.Subnets, v6[0])
	case n.IPv6:
		n.Subnets = append(n.Subnets, Subnet{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}) // from the pool
	}
	return nil
}

func anyAddr(s Subnet) netip.Addr {
	for _, a := range []netip.Addr{s.Prefix.Addr(), s.Gateway, s.Range.Addr()} {
		if a.IsValid() {
			return a
		}
	}
	for _, a := range s.Aux {
		return a
	}
	return netip.Addr{}
}

// settleAndRegister chooses subnets that clash with nothing and takes the name.
func (h *Host) settleAndRegister(n *Network, set settings, claims []claim) (*state, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.networks {
		if other.Name == n.Name {
			return nil, errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("network with name %s already exists", n.Name))
		}
		if set.bridge != "" && other.Bridge == set.bridge {
			return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name", n.ID, set.bridge, other.ID, other.Name))
		}
		for _, sub := range other.Subnets {
			// Networks on a parent device live outside: two of them may share a range.
			if n.Driver == "bridge" || other.Driver == "bridge" {
				claims = append(claims, claim{sub.Prefix, "network " + other.Name, false})
			}
		}
	}
	if n.IPAMDriver == "null" {
		n.Subnets = nil
	}
	for i, sub := range n.Subnets {
		settled, err := h.settleSubnet(n, set, sub, claims)
		if err != nil {
			return nil, err
		}
		n.Subnets[i] = settled
	}
	if n.Driver == "bridge" {
		if n.Bridge = set.bridge; n.Bridge == "" {
			n.Bridge = "br-" + n.ID[:12]
		}
	}
	s, err := newState(n)
	if err != nil {
		return nil, err
	}
	h.networks[n.ID] = s
	return s, nil
}

func (h *Host) settleSubnet(n *Network, set settings, sub Subnet, claims []claim) (Subnet, error) {
	given := sub.Prefix.IsValid() && sub.Prefix.Bits() > 0
	switch {
	case given:
		sub.Given = true
	case sub.Prefix.IsValid(): // "::/0" says: IPv6, from the pool
		var id [32]byte
		_, _ = hex.Decode(id[:], []byte(n.ID))
		sub.Prefix = uniqueLocal(id)
	case sub.Gateway.IsValid() || sub.Range.IsValid() || len(sub.Aux) > 0:
		return sub, invalid("invalid network config: a gateway, an ip-range or an auxiliary address needs a subnet")
	default:
		var err error
		if sub.Prefix, err = fromPools(h.cfg.Pools, claims); err != nil {
			return sub, err
		}
	}
	isolated := set.mode4
	if sub.Prefix.Addr().Is6() {
		isolated = set.mode6
	}
	wantGateway := isolated != modeIsolated && !(n.Driver != "bridge" && n.Internal)
	sub, err := settle(sub, wantGateway)
	if err != nil || !given || n.Driver != "bridge" {
		return sub, err
	}
	for _, c := range claims {
		if !c.prefix.Overlaps(sub.Prefix) {
			continue
		}
		if c.route && c.prefix.Bits() < sub.Prefix.Bits() {
			// A part of a wide route: the network takes it out of that.
			n.Warnings = append(n.Warnings, fmt.Sprintf("subnet %s lies within %s: those addresses are reached through the network now", sub.Prefix, c.by))
			continue
		}
		return sub, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("invalid pool request: Pool overlaps with other one on this address space: %s overlaps with %s, %s", sub.Prefix, c.prefix, c.by))
	}
	return sub, nil
}

// routeClaims reads what the host's routes take. Bridges of networks are known by their networks.
func (h *Host) routeClaims() (claims []claim, err error) {
	err = h.route(func(c *rtnl.Conn) error {
		routes, err := c.Routes()
		if err != nil {
			return err
		}
		links, err := c.Links()
		if err != nil {
			return err
		}
		names, own := make(map[int]string), h.bridgeNames()
		for _, l := range links {
			names[l.Index] = l.Name
		}
		claims = routeClaims(routes, names, func(dev string) bool { return own[dev] })
		return nil
	})
	return claims, err
}

func (h *Host) bridgeNames() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make(map[string]bool)
	for _, s := range h.networks {
		if s.Bridge != "" {
			names[s.Bridge] = true
		}
	}
	return names
}

// ensureDefault makes the network "bridge" when there is none yet.
func (h *Host) ensureDefault(ctx context.Context) error {
	if _, err := h.find(DefaultName); err == nil {
		return nil
	}
	o := h.cfg.DefaultBridge
	o.Name, o.Driver = DefaultName, "bridge"
	opts := map[string]string{
		optDefault: "true", optICC: "true", optMasquerade: "true", optHostBinding: "0.0.0.0", optBridgeName: h.cfg.name() + "0",
	}
	for k, v := range o.DriverOpts {
		opts[k] = v
	}
	o.DriverOpts = opts
	_, err := h.create(ctx, o)
	return err
}
