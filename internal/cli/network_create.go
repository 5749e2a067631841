package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// ipamConfig is one range of addresses of a network.
type ipamConfig struct {
	Subnet     string            `json:",omitempty"`
	IPRange    string            `json:",omitempty"`
	Gateway    string            `json:",omitempty"`
	AuxAddress map[string]string `json:"AuxiliaryAddresses,omitempty"`

	prefix netip.Prefix
}

// networkBody is what POST /networks/create takes.
type networkBody struct {
	CheckDuplicate *bool `json:",omitempty"` // before 1.44
	Name           string
	Driver         string
	Scope          string
	EnableIPv4     *bool `json:",omitempty"`
	EnableIPv6     *bool `json:",omitempty"`
	IPAM           struct {
		Driver  string
		Options map[string]string
		Config  []*ipamConfig
	}
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigOnly bool
	ConfigFrom *struct{ Network string }
	Options    map[string]string
	Labels     map[string]string
}

func (a *App) networkCreate(ctx context.Context, args []string) error {
	o := newOptions()
	var b networkBody
	driver := o.text("driver", 'd', "bridge", "Driver to manage the Network")
	b.Options = o.pairs("opt", 'o', "Set driver specific options", nil)
	labels := o.checked("label", 0, "Set metadata on a network", checkLabel)
	internal := o.flag("internal", 0, "Restrict external access to the network")
	ipv4 := o.boolean("ipv4", 0, true, "Enable or disable IPv4 address assignment")
	ipv6 := o.flag("ipv6", 0, "Enable or disable IPv6 address assignment")
	attachable := o.flag("attachable", 0, "Enable manual container attachment")
	ingress := o.flag("ingress", 0, "Create swarm routing-mesh network")
	scope := o.text("scope", 0, "", "Control the network's scope")
	configOnly := o.flag("config-only", 0, "Create a configuration only network")
	configFrom := o.text("config-from", 0, "", "The network from which to copy the configuration")
	ipamDriver := o.text("ipam-driver", 0, "default", "IP Address Management Driver")
	subnets := o.commas("subnet", "Subnet in CIDR format that represents a network segment")
	ranges := o.commas("ip-range", "Allocate container ip from a sub-range")
	gateways := o.commas("gateway", "IPv4 or IPv6 Gateway for the master subnet")
	aux := o.pairs("aux-address", 0, "Auxiliary IPv4 or IPv6 addresses used by Network driver", nil)
	b.IPAM.Options = o.pairs("ipam-opt", 0, "Set IPAM driver specific options", nil)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	if b.IPAM.Config, err = addressPlan(*subnets, *ranges, *gateways, aux); err != nil {
		return err
	}
	b.Name, b.Driver, b.Scope, b.IPAM.Driver, b.Labels = args[0], *driver, *scope, *ipamDriver, pairMap(*labels)
	b.Internal, b.Attachable, b.Ingress, b.ConfigOnly = *internal, *attachable, *ingress, *configOnly
	if o.changed("ipv4") {
		b.EnableIPv4 = ipv4
	}
	if o.changed("ipv6") {
		b.EnableIPv6 = ipv6
	}
	if *configFrom != "" {
		b.ConfigFrom = &struct{ Network string }{*configFrom}
	}
	if err := a.client.agree(ctx); err != nil {
		return err
	}
	if !a.client.has("1.44") {
		yes := true
		b.CheckDuplicate = &yes
	}
	var made struct {
		ID      string `json:"Id"`
		Warning string
	}
	if err := a.client.post(ctx, "/networks/create", nil, b, &made); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, made.ID)
	return nil
}

// addressPlan puts ranges, gateways and reserved addresses to the subnets that they lie in.
func addressPlan(subnets, ranges, gateways []string, aux map[string]string) ([]*ipamConfig, error) {
	if len(subnets) < len(ranges) || len(subnets) < len(gateways) {
		return nil, errors.New("every ip-range or gateway must have a corresponding subnet")
	}
	plan := []*ipamConfig{}
	for _, s := range subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("invalid subnet: invalid CIDR address: %s", s)
		}
		for _, other := range plan {
			if p.Overlaps(other.prefix) {
				return nil, errors.New("multiple overlapping subnet configuration is not supported")
			}
		}
		plan = append(plan, &ipamConfig{Subnet: s, AuxAddress: make(map[string]string), prefix: p.Masked()})
	}
	within := func(s string) (*ipamConfig, error) {
		addr, err := netip.ParseAddr(s)
		if strings.Contains(s, "/") {
			var p netip.Prefix
			p, err = netip.ParsePrefix(s)
			addr = p.Addr()
			if err != nil {
				return nil, fmt.Errorf("invalid CIDR address: %s", s)
			}
		}
		for _, c := range plan {
			if err == nil && c.prefix.Contains(addr) {
				return c, nil
			}
		}
		return nil, nil
	}
	for _, r := range ranges {
		if _, err := netip.ParsePrefix(r); err != nil {
			return nil, fmt.Errorf("invalid CIDR address: %s", r)
		}
		c, err := within(r)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, fmt.Errorf("no matching subnet for range %s", r)
		case c.IPRange != "":
			return nil, fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", r, c.IPRange, c.Subnet)
		}
		c.IPRange = r
	}
	for _, g := range gateways {
		c, err := within(g)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, fmt.Errorf("no matching subnet for gateway %s", g)
		case c.Gateway != "":
			return nil, fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", g, c.Gateway, c.Subnet)
		}
		c.Gateway = g
	}
	for _, name := range slices.Sorted(maps.Keys(aux)) {
		c, err := within(aux[name])
		if err != nil {
			return nil, err
		}
		if c == nil {
			return nil, fmt.Errorf("no matching subnet for aux-address %s", aux[name])
		}
		c.AuxAddress[name] = aux[name]
	}
	return plan, nil
}
