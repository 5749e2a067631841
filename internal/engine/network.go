package engine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Connect connects a container to one more network, a running one at once.
func (e *Engine) Connect(ctx context.Context, nw, name string, ep *network.EndpointSettings) error {
	return e.turn(ctx, name, "connecting", func(ctx context.Context, c *Container) error {
		v := c.view.Load()
		found, err := c.canChangeNetworks(v, nw)
		if err != nil {
			return err
		}
		if mode := v.Host.NetworkMode; found == "host" || mode.IsHost() {
			return errdefs.ErrInvalidArgument.WithMessage("container cannot be disconnected from host network or connected to host network")
		} else if mode.IsContainer() {
			return errdefs.ErrInvalidArgument.WithMessage("container sharing network namespace with another container or host cannot be connected to any other network")
		} else if found == "none" || mode.IsNone() || v.Config.NetworkDisabled {
			return errdefs.ErrInvalidArgument.WithMessage("container cannot be connected to multiple networks with one of the networks in private (none) mode")
		}
		if v.Endpoints[found] != nil {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", v.Name, found))
		}
		if ep == nil {
			ep = &network.EndpointSettings{}
		}
		if found == "bridge" && len(ep.Aliases) > 0 {
			return errdefs.ErrInvalidArgument.WithMessage("network-scoped alias is supported only for containers in user defined networks")
		}
		more, err := c.e.opts.Networks.Resolve(ctx, NetworkRequest{ID: v.ID, Name: v.Name, Config: v.Config, Host: &container.HostConfig{NetworkMode: container.NetworkMode(found)}, Endpoints: map[string]*network.EndpointSettings{found: ep}})
		if err != nil {
			return err
		}
		all := maps.Clone(v.Endpoints)
		if all == nil {
			all = make(map[string]*network.EndpointSettings)
		}
		maps.Copy(all, more)
		return c.changeNetworks(ctx, all, givenMAC(v.GivenMAC, more), func(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error) {
			return c.e.opts.Networks.Connect(ctx, r, found, netns)
		})
	})
}

// Disconnect takes a container out of a network, a running one at once.
func (e *Engine) Disconnect(ctx context.Context, nw, name string) error {
	return e.turn(ctx, name, "disconnecting", func(ctx context.Context, c *Container) error {
		v := c.view.Load()
		found, err := c.canChangeNetworks(v, nw)
		if err != nil {
			return err
		}
		if found == "host" || v.Host.NetworkMode.IsHost() {
			return errdefs.ErrInvalidArgument.WithMessage("container cannot be disconnected from host network or connected to host network")
		}
		if v.Endpoints[found] == nil || !ownNetwork(v) {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is not connected to network %s", c.id, found))
		}
		left := maps.Clone(v.Endpoints)
		delete(left, found)
		given := maps.Clone(v.GivenMAC)
		delete(given, found)
		return c.changeNetworks(ctx, left, given, func(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error) {
			return c.e.opts.Networks.Disconnect(ctx, r, found, netns)
		})
	})
}

// canChangeNetworks gives a network's name.
func (c *Container) canChangeNetworks(v *View, nw string) (string, error) {
	if v.State.Phase == Removing || v.State.Phase == Dead {
		return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is marked for removal and cannot be connected or disconnected to the network", c.id))
	}
	if nw == "host" || nw == "none" {
		return nw, nil
	}
	if c.e.opts.Networks == nil {
		return "", errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", nw))
	}
	return c.e.opts.Networks.NameOf(nw)
}

// changeNetworks gives a container other endpoints, in a turn: a running one by now, others when they
// start.
func (c *Container) changeNetworks(ctx context.Context, eps map[string]*network.EndpointSettings, given map[string]bool, now func(context.Context, NetworkRequest, *os.File) (Attached, error)) error {
	v := c.view.Load()
	next := *v
	next.Endpoints, next.GivenMAC = eps, given
	if !alive(v.State.Phase) {
		if err := writeConfig(v.Dir, &next); err != nil {
			return err
		}
		c.save(func(v *View) { v.Endpoints, v.GivenMAC = eps, given })
		return nil
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", v.State.Pid))
	if err != nil {
		return fmt.Errorf("opening the network namespace of container %s: %w", v.Name, err)
	}
	defer ns.Close()
	// What the files were is said by the same who says what they are to be: lines that are neither are the
	// container's own and stay.
	r := NetworkRequest{ID: v.ID, Name: v.Name, Config: v.Config, Host: v.Host, Endpoints: v.Endpoints, Links: v.LinksTo, Had: v.Had}
	before, err := c.e.opts.Networks.Look(ctx, r, ns)
	if err != nil {
		return err
	}
	r.Endpoints = eps
	after, err := now(ctx, r, ns)
	if err != nil {
		return err
	}
	c.e.at("network.changed")
	c.save(func(v *View) {
		v.Endpoints, v.Ports, v.NetState, v.GivenMAC = after.Endpoints, after.Ports, after.State, given
	})
	if err := writeConfig(v.Dir, &next); err != nil {
		return err
	}
	return c.changeFiles(v, before, after)
}

// changeFiles brings the files under /etc in line with changed networks.
func (c *Container) changeFiles(v *View, before, after Attached) error {
	hosts, err := readEtc(v.file(hostsFile))
	if err == nil {
		if changed := changeLines(hosts, before.Hosts, after.Hosts); !bytes.Equal(hosts, changed) {
			err = writeEtc(v.file(hostsFile), changed)
		}
	}
	if err != nil {
		return err
	}
	resolv, err := readEtc(v.file(resolvFile))
	if err != nil || !bytes.Equal(resolv, before.Resolv) || bytes.Equal(before.Resolv, after.Resolv) {
		return err // the container has written its own
	}
	return writeEtc(v.file(resolvFile), after.Resolv)
}

// changeLines takes lines out of a file that are in before and not in after, and adds those that are in
// after only.
func changeLines(file, before, after []byte) []byte {
	was, is := slices.Collect(strings.Lines(string(before))), slices.Collect(strings.Lines(string(after)))
	var out []string
	for line := range strings.Lines(string(file)) {
		if slices.Contains(was, line) && !slices.Contains(is, line) {
			continue
		}
		out = append(out, line)
	}
	if n := len(out); n > 0 && !strings.HasSuffix(out[n-1], "\n") {
		out[n-1] += "\n"
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			out = append(out, line)
		}
	}
	return []byte(strings.Join(out, ""))
}
