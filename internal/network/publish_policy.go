package network

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
	"golang.org/x/sys/unix"
)

// A published port is translated before the host's firewall looks at packets for the host, and
// passes it as a forwarded one: a rule that denies the port denies nothing. Under PolicyRespect
// ports are not translated. hulld listens on them, the firewall judges connections as it does those
// to any program of the host, and what it lets through is carried to the container with the
// client's own address: the socket towards the container is bound to it (IP_TRANSPARENT), and the
// container's answers, marked by a rule, are routed to that socket.

// Numbers that are ours among the host's routing rules.
const (
	divertMark     = 0x68756c00
	divertTable    = 0x6875
	divertPriority = 26740
)

// Firewall is what judges packets to the host, "" for nothing: a chain on the input hook that drops
// what it does not know, or firewalld, which does so by rules.
func (h *Host) Firewall() (string, error) {
	chains, err := h.fw.conn.BaseChains()
	if err != nil {
		return "", err
	}
	return activeFirewall(chains, h.cfg.name(), nft.LocalIn), nil
}

func activeFirewall(chains []nft.BaseChain, own string, hook uint32) string {
	for _, c := range chains {
		if c.Table.Name == own || strings.HasPrefix(c.Table.Name, "hull") || c.Type != "filter" || c.Hook != hook || c.Table.Family == nft.Bridge {
			continue
		}
		if c.Drops || c.Table.Name == "firewalld" {
			return c.String()
		}
	}
	return ""
}

// policy is the one that holds for a port that is published now.
func (h *Host) policy() (Policy, error) {
	switch h.cfg.Publish {
	case PolicyOpen, PolicyRespect:
		return h.cfg.Publish, nil
	}
	f, err := h.Firewall()
	if err != nil || f == "" {
		return PolicyOpen, err
	}
	return PolicyRespect, nil
}

// divert routes containers' answers to the sockets that have their clients' addresses.
func (h *Host) divert() error {
	h.divertOnce.Lock()
	defer h.divertOnce.Unlock()
	if h.diverting {
		return nil
	}
	err := h.route(func(c *rtnl.Conn) error {
		lo, err := c.Link("lo")
		if err != nil {
			return err
		}
		for _, v6 := range []bool{false, true} {
			if v6 && !h.ipv6 {
				continue
			}
			var p rtnl.Plan
			p.MarkedToLocal(divertMark, divertTable, divertPriority, lo.Index, v6)
			if err := c.Apply(&p); err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("routing answers to published ports: %w", err)
	}
	h.diverting = true
	return nil
}

// Published is a published port and who has it.
type Published struct {
	Binding
	Container string // ID
	Name      string // of the container
	Network   string // name
}

// Published are all published ports, by number.
func (h *Host) Published() (list []Published) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.networks {
		for _, e := range s.endpoints {
			for _, b := range e.Bindings {
				list = append(list, Published{b, e.Container, e.Name, s.Name})
			}
		}
	}
	slices.SortFunc(list, func(a, b Published) int {
		if a.Host != b.Host {
			return int(a.Host) - int(b.Host)
		}
		return strings.Compare(a.String(), b.String())
	})
	return list
}
