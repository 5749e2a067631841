package engine

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Publish changes the published ports of a container, of a running one at once. A port of remove
// without bindings loses all it has; connections that are open go on.
func (e *Engine) Publish(ctx context.Context, name string, add, remove network.PortMap) error {
	return e.turn(ctx, name, "publishing ports of", func(ctx context.Context, c *Container) error {
		v := c.view.Load()
		if v.State.Phase == Removing || v.State.Phase == Dead {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot update container %s: Container is marked for removal and cannot be \"update\".", c.id))
		}
		if !ownNetwork(v) || c.e.opts.Networks == nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("container %s has network mode %s: it has no ports to publish", v.Name, v.Host.NetworkMode))
		}
		host := *v.Host
		if err := changePorts(&host, v, add, remove); err != nil {
			return err
		}
		next := *v
		next.Host = &host
		if alive(v.State.Phase) {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", v.State.Pid))
			if err != nil {
				return fmt.Errorf("opening the network namespace of container %s: %w", v.Name, err)
			}
			defer ns.Close()
			after, err := c.e.opts.Networks.Publish(ctx, NetworkRequest{ID: v.ID, Name: v.Name, Config: v.Config, Host: &host, Endpoints: v.Endpoints, Links: v.LinksTo, Had: v.Had}, ns)
			if err != nil {
				return err
			}
			c.save(func(v *View) { v.Endpoints, v.Ports, v.NetState = after.Endpoints, after.Ports, after.State })
		}
		if err := writeConfig(v.Dir, &next); err != nil {
			return err
		}
		c.change(func(v *View) { v.Host = &host })
		c.publish("update", nil)
		return nil
	})
}

// changePorts changes what a container asks to be published.
func changePorts(h *container.HostConfig, v *View, add, remove network.PortMap) error {
	ports := maps.Clone(h.PortBindings)
	if ports == nil {
		ports = network.PortMap{}
	}
	if h.PublishAllPorts && len(remove) > 0 {
		// All but some: each by itself from now on, with the numbers that they have.
		for p := range v.Config.ExposedPorts {
			if len(ports[p]) > 0 {
				continue
			}
			list := []network.PortBinding{{}}
			if has := v.Ports[p]; len(has) > 0 {
				list = []network.PortBinding{{HostPort: has[0].HostPort}}
			}
			ports[p] = list
		}
		h.PublishAllPorts = false
	}
	for p, gone := range remove {
		have, ok := ports[p]
		if !ok {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s does not publish port %s", v.Name, p))
		}
		if len(gone) == 0 {
			delete(ports, p)
			continue
		}
		for _, g := range gone {
			left := slices.DeleteFunc(slices.Clone(have), func(b network.PortBinding) bool {
				return (g.HostPort == "" || g.HostPort == b.HostPort || b.HostPort == "" && holds(v.Ports[p], g.HostPort)) && (!g.HostIP.IsValid() || g.HostIP == b.HostIP)
			})
			if len(left) == len(have) {
				return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s does not publish port %s on port %s of the host", v.Name, p, g.HostPort))
			}
			have = left
		}
		if ports[p] = have; len(have) == 0 {
			delete(ports, p)
		}
	}
	for p, list := range add {
		if len(list) == 0 {
			list = []network.PortBinding{{}}
		}
		for _, b := range list {
			if !slices.Contains(ports[p], b) || b.HostPort == "" {
				ports[p] = append(slices.Clone(ports[p]), b)
			}
		}
	}
	h.PortBindings = ports
	return nil
}

func holds(list []network.PortBinding, port string) bool {
	return slices.ContainsFunc(list, func(b network.PortBinding) bool { return b.HostPort == port })
}
