package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
	"golang.org/x/sys/unix"
)

// Restore brings the host in line with the networks and the containers that run: rules in one
// transaction with all that is published, then devices, sockets for names, proxies. What nobody
// owns goes. It must be called once, before anything else, with what the engine knows to be
// running (nothing, on a fresh start). A container's trouble is logged and does not keep the
// others from being restored.
func (h *Host) Restore(ctx context.Context, running []Running) error {
	if err := h.ensureForwarding(); err != nil {
		return err
	}
	for _, r := range running {
		for i := range r.Endpoints {
			h.adopt(r, &r.Endpoints[i])
		}
	}
	h.mu.Lock()
	states := make([]*state, 0, len(h.networks))
	for _, s := range h.networks {
		states = append(states, s)
	}
	h.mu.Unlock()
	for _, s := range states {
		if err := h.fw.apply(h.fw.ofNetwork(s), nil); err != nil {
			return err
		}
	}
	if err := h.fw.replace(); err != nil {
		return fmt.Errorf("writing the rules of the networks: %w", err)
	}
	var errs []error
	for _, s := range states {
		if s.Driver != "bridge" {
			continue
		}
		s.dev.Lock()
		err := h.ensureBridge(s)
		s.dev.Unlock()
		if err != nil {
			h.log.Error("restoring a network", "network", s.Name, "error", err)
		}
	}
	errs = append(errs, h.sweep())
	if chains, err := h.fw.conn.BaseChains(); err != nil {
		errs = append(errs, err)
	} else if f := activeFirewall(chains, h.cfg.name(), nft.Forward); f != "" {
		// What another table drops no table can bring back.
		h.log.Warn("a firewall of the host drops what it forwards: containers reach the outside, and are reached at published ports, only as far as it allows", "chain", f)
	}
	h.mu.Lock()
	h.restored = true
	h.mu.Unlock()
	if err := h.ensureDefault(ctx); err != nil {
		errs = append(errs, fmt.Errorf("making the default network: %w", err))
	}
	h.bg.Go(func() { h.keepReady(h.running) })
	if h.cfg.Prepared > 0 {
		h.refill <- struct{}{}
	}
	h.bg.Go(func() { h.watch(h.running) })
	return errors.Join(errs...)
}

// adopt takes an endpoint of a container that runs into the maps, with what it has.
func (h *Host) adopt(r Running, e *Endpoint) {
	fail := func(err error) {
		h.log.Error("restoring a container's network", "container", e.Container, "network", e.NetworkName, "error", err)
	}
	b, err := h.box(e.Container, r.NetNS)
	if err != nil {
		fail(err)
		return
	}
	c := *e
	h.mu.Lock()
	s := h.networks[e.Network]
	if s == nil {
		h.mu.Unlock()
		fail(fmt.Errorf("network %s is gone", e.Network))
		return
	}
	if c.IPv4.IsValid() && s.v4 != nil {
		err = s.v4.claim(c.IPv4.Addr(), c.ID)
	}
	if c.IPv6.IsValid() && s.v6 != nil {
		err = errors.Join(err, s.v6.claim(c.IPv6.Addr(), c.ID))
	}
	if err != nil {
		h.mu.Unlock()
		fail(err)
		return
	}
	s.endpoints[c.ID] = &c
	b.endpoints = append(b.endpoints, &c)
	b.dns = c.DNS
	h.mu.Unlock()
	if s.Driver == "bridge" {
		if slices.ContainsFunc(c.Bindings, func(b Binding) bool { return b.Judged }) {
			if err := h.divert(); err != nil {
				fail(err)
			}
		}
		h.ports.mu.Lock()
		for _, bind := range c.Bindings {
			if s.mode(bind.HostIP) == modeRouted {
				continue
			}
			// The kernel goes on translating even if a program took the port while hulld was away.
			if err := h.ports.hold(h, &c, bind); err != nil {
				fail(err)
			}
		}
		h.ports.mu.Unlock()
		if err := h.fw.apply(h.fw.ofEndpoint(s, &c), nil); err != nil {
			fail(err)
		}
	}
	h.dns.attach(b, &c)
}

// sweep removes devices of this instance that no network and no endpoint owns: a hulld was killed
// between making them and noting it.
func (h *Host) sweep() error {
	h.mu.Lock()
	own := make(map[string]bool)
	for _, s := range h.networks {
		own[s.Bridge] = true
		for _, e := range s.endpoints {
			if e.HostInterface != "" {
				own[e.HostInterface], own[e.ifb()] = true, true
			}
		}
	}
	h.mu.Unlock()
	return h.route(func(c *rtnl.Conn) error {
		// The kernel may be removing some itself, with the namespaces of containers that are gone.
		for range 5 {
			links, err := c.Links()
			if err != nil {
				return err
			}
			var p rtnl.Plan
			for _, l := range links {
				ours := strings.HasPrefix(l.Alias, h.cfg.name()+" network ") || strings.HasPrefix(l.Name, h.tag) && l.Kind == "veth"
				if ours && !own[l.Name] {
					h.log.Info("removing a device that nobody owns", "device", l.Name)
					p.Delete(l.Index, l.Name)
				}
			}
			if err := c.Apply(&p); err == nil || !errors.Is(err, unix.ENODEV) {
				return err
			}
		}
		return nil
	})
}

// ensureForwarding makes the host forward packets. When hulld was the one to switch it on, the host
// goes on not to forward between the devices that it had then; a file remembers them until the next
// boot. Devices that come later (of other engines, of virtual machines) are left alone.
func (h *Host) ensureForwarding() error {
	h.mu.Lock()
	v6 := false
	for _, s := range h.networks {
		v6 = v6 || s.IPv6 && s.Driver == "bridge"
	}
	h.mu.Unlock()
	off, err := h.forwarding(v6)
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	path := filepath.Join(h.cfg.DataDir, "forwarding")
	if off {
		names := strings.TrimSpace(string(boot))
		err := h.route(func(c *rtnl.Conn) error {
			links, err := c.Links()
			own := h.bridgeNames()
			for _, l := range links {
				if l.Name != "lo" && !own[l.Name] && l.Master == 0 {
					names += "\n" + l.Name
				}
			}
			return err
		})
		if err == nil {
			err = os.WriteFile(path, []byte(names), 0o600)
		}
		if err != nil {
			return fmt.Errorf("noting the devices that the host does not forward between: %w", err)
		}
	}
	noted, err := os.ReadFile(path)
	if err != nil {
		return ignoreMissing(err)
	}
	lines := strings.Split(string(noted), "\n")
	if h.cfg.KeepForward || lines[0] != strings.TrimSpace(string(boot)) {
		return nil
	}
	var list []entry
	for _, name := range lines[1:] {
		if validDevice(name) {
			list = append(list, entry{h.fw.uplinks, nft.Elem{Key: nft.Join(name)}})
		}
	}
	return h.fw.apply(list, nil)
}

// retryPause is how long the watch waits after it failed to put the rules back.
const retryPause = 200 * time.Millisecond
