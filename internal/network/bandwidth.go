package network

import (
	"errors"
	"fmt"

	"github.com/hull-dev/hull/internal/network/rtnl"
)

// limit puts an endpoint's limits on the host's end of its device, where the container cannot
// reach them: what it receives is shaped as it leaves there, what it sends passes an IFB first.
func (h *Host) limit(e *Endpoint) error {
	if e.Bandwidth == (Bandwidth{}) {
		return nil
	}
	if e.HostInterface == "" {
		return invalid("bandwidth limits need a bridge network: %s is none", e.NetworkName)
	}
	err := h.route(func(c *rtnl.Conn) error {
		l, err := c.Link(e.HostInterface)
		if err != nil {
			return err
		}
		if in := e.Bandwidth.In / 8; in > 0 {
			var p rtnl.Plan
			p.Rate(l.Index, l.Name, in, burst(in), queue(in))
			if err := c.Apply(&p); err != nil {
				return err
			}
		}
		out := e.Bandwidth.Out / 8
		if out == 0 {
			return nil
		}
		var p rtnl.Plan
		p.IFB(e.ifb(), h.alias(e.Network))
		if err := c.Apply(&p); err != nil {
			return lacks(err, "ifb")
		}
		ifb, err := c.Link(e.ifb())
		if err != nil {
			return err
		}
		var q rtnl.Plan
		q.Rate(ifb.Index, ifb.Name, out, burst(out), queue(out))
		q.Through(l.Index, l.Name, ifb.Index)
		if err := c.Apply(&q); err != nil {
			return errors.Join(err, h.unlimit(e))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("limiting the bandwidth of endpoint %s: %w", e.Name, err)
	}
	return nil
}

// ifb is the name of the device that an endpoint's packets pass.
func (e *Endpoint) ifb() string { return "hi" + e.HostInterface[2:] }

// burst is what may pass at once: 10 ms' worth, and never less than one large segment.
func burst(rate uint64) uint32 { return uint32(min(max(rate/100, 64<<10), 1<<28)) }

// queue is what may wait: 50 ms' worth more.
func queue(rate uint64) uint32 { return burst(rate) + uint32(min(rate/20, 1<<28)) }

// unlimit removes what limit left behind besides the endpoint's own device.
func (h *Host) unlimit(e *Endpoint) error {
	if e.Bandwidth.Out == 0 || e.HostInterface == "" {
		return nil
	}
	return h.route(func(c *rtnl.Conn) error {
		l, err := c.Link(e.ifb())
		if errors.Is(err, rtnl.ErrNoLink) {
			return nil
		}
		if err != nil {
			return err
		}
		var p rtnl.Plan
		p.Delete(l.Index, l.Name)
		return c.Apply(&p)
	})
}
