package network

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/network/rtnl"
)

// Detach takes a running container out of a network. Its device is deleted, which takes the kernel
// some 20 ms.
func (h *Host) Detach(ctx context.Context, container, network string) (*Endpoint, error) {
	h.mu.Lock()
	s, err := h.findLocked(network)
	b := h.boxes[container]
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	notConnected := errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is not connected to network %s", container, s.Name))
	if b == nil {
		return nil, notConnected
	}
	select {
	case <-b.plumb:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { b.plumb <- struct{}{} }()
	h.mu.Lock()
	i := slices.IndexFunc(b.endpoints, func(e *Endpoint) bool { return e.Network == s.ID })
	if i < 0 {
		h.mu.Unlock()
		return nil, notConnected
	}
	e := b.endpoints[i]
	h.mu.Unlock()

	h.dns.detach(b, e)
	err = errors.Join(h.unplug(b, e), h.forget(s, e))
	h.unregister(b, s, e)
	return e, errors.Join(err, h.reroute(b))
}

// forget takes an endpoint's elements and ports away.
func (h *Host) forget(s *state, e *Endpoint) error {
	if s.Driver != "bridge" {
		return nil
	}
	err := errors.Join(h.fw.apply(nil, append(h.fw.ofEndpoint(s, e), h.fw.ofOwn(e)...)), h.unlimit(e))
	h.ports.release(e.ID, e.Bindings)
	h.forgetFlows(e, e.Bindings)
	return err
}

// reroute gives a container the default routes that its endpoints now ask for. The caller has
// b.plumb.
func (h *Host) reroute(b *sandbox) error {
	h.mu.Lock()
	best := []*Endpoint{b.gatewayEndpoint(false), b.gatewayEndpoint(true)}
	h.mu.Unlock()
	if best[0] == best[1] {
		best = best[:1]
	}
	for _, e := range best {
		if e == nil {
			continue
		}
		l, err := b.ns.route.Link(e.Interface)
		if err != nil {
			return err
		}
		var p rtnl.Plan
		h.mu.Lock()
		b.defaultRoutes(&p, e, l.Index)
		h.mu.Unlock()
		if err := b.ns.route.Apply(&p); err != nil {
			return err
		}
	}
	return nil
}

// Release gives back all that a container has: endpoints, ports, its network namespace. It is
// called when the container's last process is gone. Devices go with the namespace, in the
// background; their elements go first, so that nothing answers for an address that is given out
// again.
func (h *Host) Release(ctx context.Context, container string) error {
	h.mu.Lock()
	b := h.boxes[container]
	h.mu.Unlock()
	if b == nil {
		return nil
	}
	select {
	case <-b.plumb:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { b.plumb <- struct{}{} }()
	h.mu.Lock()
	if h.boxes[container] != b {
		h.mu.Unlock()
		return nil
	}
	delete(h.boxes, container)
	endpoints := slices.Clone(b.endpoints)
	states := make([]*state, len(endpoints))
	for i, e := range endpoints {
		states[i] = h.networks[e.Network]
	}
	h.mu.Unlock()

	var errs []error
	for i, e := range endpoints {
		h.dns.detach(b, e)
		if states[i] == nil {
			continue
		}
		errs = append(errs, h.forget(states[i], e))
		h.unregister(b, states[i], e)
	}
	b.closeAll()
	return errors.Join(errs...)
}

// Publish publishes further ports of a running container in one of its networks.
func (h *Host) Publish(ctx context.Context, container, network string, want []Port) ([]Binding, error) {
	s, e, done, err := h.hold(ctx, container, network)
	if err != nil {
		return nil, err
	}
	defer done()
	if s.Driver != "bridge" {
		return nil, invalid("ports can be published in bridge networks only: %s is none", s.Name)
	}
	fresh, err := h.publishAll(s, e, want)
	if err != nil {
		return nil, err
	}
	if err := h.fw.apply(append(h.fw.ofBindings(s, e, fresh), h.fw.ofOwn(e)...), nil); err != nil {
		h.unpublish(e, fresh)
		return nil, err
	}
	h.forgetFlows(e, fresh)
	return fresh, nil
}

// Unpublish takes published ports back. Connections that are open go on.
func (h *Host) Unpublish(ctx context.Context, container, network string, gone []Binding) error {
	s, e, done, err := h.hold(ctx, container, network)
	if err != nil {
		return err
	}
	defer done()
	for _, b := range gone {
		if !slices.Contains(e.Bindings, b) {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %.12s does not publish %s", container, b))
		}
	}
	if err := h.fw.apply(nil, h.fw.ofBindings(s, e, gone)); err != nil {
		return err
	}
	h.unpublish(e, gone)
	h.forgetFlows(e, gone)
	return nil
}

// hold finds an endpoint and keeps others from changing its container's networks until done.
func (h *Host) hold(ctx context.Context, container, network string) (*state, *Endpoint, func(), error) {
	h.mu.Lock()
	s, err := h.findLocked(network)
	b := h.boxes[container]
	h.mu.Unlock()
	if err != nil {
		return nil, nil, nil, err
	}
	if b == nil {
		return nil, nil, nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %.12s has no network", container))
	}
	select {
	case <-b.plumb:
	case <-ctx.Done():
		return nil, nil, nil, ctx.Err()
	}
	done := func() { b.plumb <- struct{}{} }
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range b.endpoints {
		if e.Network == s.ID {
			return s, e, done, nil
		}
	}
	done()
	return nil, nil, nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is not connected to network %s", container, s.Name))
}

// Stats are the counters of a container's devices, by name.
func (h *Host) Stats(ctx context.Context, container string) (map[string]rtnl.Stats, error) {
	h.mu.Lock()
	b := h.boxes[container]
	h.mu.Unlock()
	if b == nil {
		return nil, nil
	}
	select {
	case <-b.plumb:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { b.plumb <- struct{}{} }()
	links, err := b.ns.route.Links()
	if err != nil {
		return nil, err
	}
	out := make(map[string]rtnl.Stats)
	for _, l := range links {
		if l.Name != "lo" && l.Up {
			out[l.Name] = l.Stats
		}
	}
	return out, nil
}
