package network

import (
	"context"
	"errors"
	"time"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

// watch puts the rules back when somebody else changes or flushes them.
func (h *Host) watch(ctx context.Context) {
	l, err := nl.Listen(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES, h.fw.conn.Port())
	if err != nil {
		h.log.Error("watching the rules of the networks: they will not be put back when they are flushed", "error", err)
		return
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	// Two goroutines, so that a flush, which is told in many messages, is answered once.
	touched := make(chan struct{}, 1)
	h.bg.Go(func() { h.putBack(ctx, touched) })
	for ctx.Err() == nil {
		hit := false
		err := l.Next(func(m nl.Header, p []byte) { hit = hit || h.fw.foreign(m, p) })
		switch {
		case errors.Is(err, nl.ErrLost):
			hit = true
		case err != nil && ctx.Err() == nil:
			h.log.Error("watching the rules of the networks", "error", err)
			time.Sleep(retryPause)
		}
		if hit {
			select {
			case touched <- struct{}{}:
			default:
			}
		}
	}
}

// putBack writes the rules anew whenever somebody touched them: soon after the last message about
// that, and not more than settlePause later.
func (h *Host) putBack(ctx context.Context, touched <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-touched:
		}
		h.log.Warn("the rules of the networks were changed by another program: putting them back")
		time.Sleep(settlePause)
		for ctx.Err() == nil {
			select {
			case <-touched:
			default:
			}
			if err := h.fw.replace(); err == nil {
				break
			} else {
				h.log.Error("putting the rules of the networks back", "error", err)
			}
			time.Sleep(retryPause)
		}
	}
}

// settlePause lets another program finish what it does to the rules.
const settlePause = 5 * time.Millisecond

// foreign says whether a notification tells of a change of our tables that we did not make. All
// messages about tables and what is in them begin with the header of nfnetlink and name the table
// in attribute 1.
func (f *firewall) foreign(m nl.Header, p []byte) (yes bool) {
	if m.Kind>>8 != unix.NFNL_SUBSYS_NFTABLES || m.Kind&0xff == unix.NFT_MSG_NEWGEN || m.Port == f.conn.Port() || len(p) < 4 {
		return false
	}
	if family := p[0]; family != byte(f.inet.Family) && family != byte(f.bridge.Family) {
		return false
	}
	nl.Attrs(p[4:], func(kind uint16, v []byte) bool {
		yes = kind == 1 && unix.ByteSliceToString(v) == f.inet.Name
		return !yes
	})
	return yes
}
