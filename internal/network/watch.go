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
	l, err := nl.Listen(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		h.log.Error("watching the rules of the networks: they will not be put back when they are flushed", "error", err)
		return
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for ctx.Err() == nil {
		touched := false
		err := l.Next(func(m nl.Header, p []byte) { touched = touched || h.fw.foreign(m, p) })
		switch {
		case errors.Is(err, nl.ErrLost):
			touched = true
		case err != nil && ctx.Err() == nil:
			h.log.Error("watching the rules of the networks", "error", err)
			time.Sleep(retryPause)
		}
		for touched && ctx.Err() == nil {
			h.log.Warn("the rules of the networks were changed by another program: putting them back")
			if err := h.fw.replace(); err != nil {
				h.log.Error("putting the rules of the networks back", "error", err)
				time.Sleep(retryPause)
				continue
			}
			break
		}
	}
}

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
