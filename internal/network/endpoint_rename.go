package network

import (
	"context"
)

// Rename makes a container known by another name in its networks, and by the former no longer.
func (h *Host) Rename(ctx context.Context, container, name string) error {
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
	defer h.mu.Unlock()
	// The lock of the names is within that of the networks nowhere else, and held for this alone.
	h.dns.mu.Lock()
	defer h.dns.mu.Unlock()
	for _, e := range b.endpoints {
		s := h.networks[e.Network]
		if s == nil {
			continue
		}
		h.dns.remove(e)
		e.Name = name
		e.DNSNames = dnsNames(s, e)
		h.dns.add(e)
	}
	return nil
}
