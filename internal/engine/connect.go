package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// ownNetwork says whether the container has a network namespace of its own with devices of networks
// in it.
func ownNetwork(v *View) bool {
	m := v.Host.NetworkMode
	return !m.IsHost() && !m.IsNone() && !m.IsContainer() && !v.Config.NetworkDisabled
}

// settleNetwork checks what a new container asks for.
func (e *Engine) settleNetwork(ctx context.Context, v *View, endpoints map[string]*network.EndpointSettings) error {
	if m := v.Host.NetworkMode; m == "" || m.IsDefault() {
		v.Host.NetworkMode = "bridge"
	}
	if !ownNetwork(v) {
		v.Endpoints = map[string]*network.EndpointSettings{}
		if m := v.Host.NetworkMode; m.IsHost() || m.IsNone() {
			v.Endpoints[string(m)] = &network.EndpointSettings{}
		}
		return nil
	}
	if e.opts.Networks == nil {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("network %s not found: this hulld has no networks, use --network none or --network host", v.Host.NetworkMode))
	}
	var err error
	v.Endpoints, err = e.opts.Networks.Resolve(ctx, NetworkRequest{ID: v.ID, Name: v.Name, Config: v.Config, Host: v.Host, Endpoints: endpoints, Links: v.LinksTo})
	v.GivenMAC = givenMAC(nil, v.Endpoints)
	return err
}

// givenMAC notes in which of fresh endpoints a user chose the MAC address; others get one when they are
// connected.
func givenMAC(old map[string]bool, fresh map[string]*network.EndpointSettings) map[string]bool {
	out := maps.Clone(old)
	for name, ep := range fresh {
		if len(ep.MacAddress) > 0 {
			if out == nil {
				out = make(map[string]bool)
			}
			out[name] = true
		}
	}
	return out
}

// attachNetworks connects a container that is created and does not run yet.
func (c *Container) attachNetworks(ctx context.Context, pid int, undo *undo) (*Attached, error) {
	v := c.view.Load()
	if !ownNetwork(v) || c.e.opts.Networks == nil {
		return nil, nil
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace of container %s: %w", v.Name, err)
	}
	defer ns.Close()
	undo.add(c.detachNetworks)
	a, err := c.e.opts.Networks.Attach(ctx, NetworkRequest{v.ID, v.Name, v.Config, v.Host, v.Endpoints, v.LinksTo, v.Had}, ns)
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{hostsFile: a.Hosts, resolvFile: a.Resolv} {
		if data == nil {
			continue
		}
		if err := writeEtc(v.file(name), data); err != nil {
			return nil, err
		}
	}
	return &a, nil
}

func (c *Container) detachNetworks() {
	if !ownNetwork(c.view.Load()) || c.e.opts.Networks == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	if err := c.e.opts.Networks.Detach(ctx, c.id); err != nil {
		c.e.log.Warn("disconnecting a container that ended", "container", c.id, "error", err)
	}
}

// restoreNetworks hands the networks what the records say.
func (e *Engine) restoreNetworks() {
	if e.opts.Networks == nil {
		return
	}
	var running []Connected
	for _, v := range e.Views() {
		if alive(v.State.Phase) && v.NetState != nil {
			running = append(running, Connected{v.ID, v.State.Pid, v.NetState})
		}
	}
	if err := e.opts.Networks.Restore(e.running, running); err != nil {
		e.log.Error("the networks are not as they should be", "error", err)
	}
}

// unplug makes the endpoints those of a container that does not run: what was asked for.
func (v *View) unplug() {
	out, had := make(map[string]*network.EndpointSettings, len(v.Endpoints)), make(map[string]Had, len(v.Endpoints))
	for name, ep := range v.Endpoints {
		e := ep.Copy()
		if e.IPAddress.IsValid() || e.GlobalIPv6Address.IsValid() {
			had[name] = Had{e.IPAddress, e.GlobalIPv6Address}
			if !v.GivenMAC[name] {
				e.MacAddress = nil
			}
		} else if h, ok := v.Had[name]; ok {
			had[name] = h
		}
		e.EndpointID, e.Gateway, e.IPAddress, e.IPPrefixLen = "", netip.Addr{}, netip.Addr{}, 0
		e.IPv6Gateway, e.GlobalIPv6Address, e.GlobalIPv6PrefixLen = netip.Addr{}, netip.Addr{}, 0
		out[name] = e
	}
	v.Endpoints, v.Had = out, had
}
