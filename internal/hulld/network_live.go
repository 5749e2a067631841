package hulld

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/network"
)

// NameOf implements engine.Networks.
func (n networks) NameOf(term string) (string, error) {
	nw, err := n.Find(term)
	if err != nil {
		return "", err
	}
	return nw.Name, nil
}

// named refuses what an endpoint asks for that its network cannot give.
func named(nw *network.Network, ep *api.EndpointSettings) error {
	if c := ep.IPAMConfig; nw.Name == network.DefaultName && c != nil && (c.IPv4Address.IsValid() || c.IPv6Address.IsValid()) {
		return errdefs.ErrInvalidArgument.WithMessage("invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only")
	}
	if nw.Name == network.DefaultName && len(ep.Aliases) > 0 {
		return errdefs.ErrInvalidArgument.WithMessage("invalid config for network bridge: invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks")
	}
	return nil
}

// Connect implements engine.Networks.
func (n networks) Connect(ctx context.Context, r engine.NetworkRequest, name string, ns *os.File) (a engine.Attached, err error) {
	if err := n.attach(ctx, n.request(r, name, ns)); err != nil {
		return a, err
	}
	if err := n.movePorts(ctx, r); err != nil {
		_, back := n.Host.Detach(ctx, string(r.ID), name)
		if back != nil {
			n.log.Error("taking a container out of a network again", "container", r.ID, "network", name, "error", back)
		}
		return a, err
	}
	return n.Look(ctx, r, ns)
}

// Disconnect implements engine.Networks.
func (n networks) Disconnect(ctx context.Context, r engine.NetworkRequest, name string, ns *os.File) (a engine.Attached, err error) {
	e, err := n.Host.Detach(ctx, string(r.ID), name)
	if err != nil {
		return a, err
	}
	n.publish("disconnect", e)
	if err := n.publishLeft(ctx, r, e.Bindings); err != nil {
		n.log.Warn("a container's ports are published no longer: it was taken out of the network that they were on", "container", r.ID, "error", err)
	}
	return n.Look(ctx, r, ns)
}

// Rename implements engine.Networks.
func (n networks) Rename(ctx context.Context, r engine.NetworkRequest, ns *os.File) (a engine.Attached, err error) {
	if err := n.Host.Rename(ctx, string(r.ID), r.Name); err != nil {
		return a, err
	}
	return n.Look(ctx, r, ns)
}

// movePorts brings published ports to the network that answers go through now, with the numbers that
// they have.
func (n networks) movePorts(ctx context.Context, r engine.NetworkRequest) error {
	on := n.portsOn(r.Endpoints)
	var had []network.Binding
	from := ""
	for _, e := range n.Of(string(r.ID)) {
		if len(e.Bindings) > 0 {
			if e.NetworkName == on {
				return nil
			}
			had, from = e.Bindings, e.NetworkName
		}
	}
	if from != "" {
		if err := n.Host.Unpublish(ctx, string(r.ID), from, had); err != nil {
			return err
		}
	}
	err := n.publishLeft(ctx, r, had)
	if err != nil && from != "" {
		if _, back := n.Host.Publish(ctx, string(r.ID), from, again(had)); back != nil {
			n.log.Error("publishing a container's ports where they were", "container", r.ID, "error", back)
		}
	}
	return err
}

// publishLeft publishes a container's ports in the network where they are to be now.
func (n networks) publishLeft(ctx context.Context, r engine.NetworkRequest, had []network.Binding) error {
	on := n.portsOn(r.Endpoints)
	if on == "" {
		return nil
	}
	want, err := published(r.Config, r.Host)
	if err != nil || len(want) == 0 {
		return err
	}
	taken := make(map[int]bool)
	for i := range want {
		for j, b := range had {
			if p := &want[i]; !taken[j] && fits(*p, b) {
				p.Host, p.HostEnd = b.Host, 0
				for k, other := range had { // the same number for the other family
					taken[k] = taken[k] || other.Host == b.Host && other.Proto == b.Proto && other.Container == b.Container
				}
				break
			}
		}
	}
	_, err = n.Host.Publish(ctx, string(r.ID), on, want)
	return err
}

// fits says whether a binding is what came of a port that was to be published.
func fits(p network.Port, b network.Binding) bool {
	return p.Proto == b.Proto && p.Container == b.Container && (p.Host == 0 || p.Host <= b.Host && b.Host <= max(p.Host, p.HostEnd)) && (!p.HostIP.IsValid() || p.HostIP == b.HostIP)
}

// again are ports that give the same bindings once more.
func again(list []network.Binding) (out []network.Port) {
	for _, b := range list {
		out = append(out, network.Port{Proto: b.Proto, Container: b.Container, HostIP: b.HostIP, Host: b.Host})
	}
	return out
}

// Publish implements engine.Networks.
func (n networks) Publish(ctx context.Context, r engine.NetworkRequest, ns *os.File) (a engine.Attached, err error) {
	want, err := published(r.Config, r.Host)
	if err != nil {
		return a, err
	}
	on := n.portsOn(r.Endpoints)
	if on == "" && len(want) > 0 {
		return a, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("container %s is in no network in which ports can be published", r.Name))
	}
	var have []network.Binding
	for _, e := range n.Of(string(r.ID)) {
		if e.NetworkName == on {
			have = e.Bindings
		}
	}
	// What is there and still wanted is not touched: connections to it go on.
	gone := slices.Clone(have)
	var fresh []network.Port
	for _, p := range want {
		i := slices.IndexFunc(gone, func(b network.Binding) bool { return fits(p, b) })
		if i < 0 {
			fresh = append(fresh, p)
			continue
		}
		kept := gone[i]
		gone = slices.DeleteFunc(gone, func(b network.Binding) bool {
			return b == kept || !p.HostIP.IsValid() && b.Host == kept.Host && b.Proto == kept.Proto && b.Container == kept.Container
		})
	}
	if len(gone) > 0 {
		if err := n.Host.Unpublish(ctx, string(r.ID), on, gone); err != nil {
			return a, err
		}
	}
	if len(fresh) > 0 {
		if _, err := n.Host.Publish(ctx, string(r.ID), on, fresh); err != nil {
			if _, back := n.Host.Publish(ctx, string(r.ID), on, again(gone)); len(gone) > 0 && back != nil {
				n.log.Error("publishing a container's ports as they were", "container", r.ID, "error", back)
			}
			return a, err
		}
	}
	return n.Look(ctx, r, ns)
}

var _ engine.Networks = networks{}
