package network

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

// Flows of UDP have no end that the kernel sees: as long as a client goes on sending from its port,
// the kernel goes on sending its datagrams where they went when the first came, to a container that
// is gone or to the host though the port is published now. So flows are forgotten when a UDP port
// is published and when it is taken back. That is not on anybody's way: it is done in the background.

// Numbers of uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	ctMsgGet     = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	ctMsgDelete  = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
	ctTupleOrig  = 1
	ctTupleReply = 2
	ctTupleIP    = 1
	ctTupleProto = 2
	ctIP4Src     = 1
	ctIP6Src     = 3
	ctProtoNum   = 1
	ctProtoSPort = 2
	ctProtoDPort = 3
)

// tuple is what a flow looks like from one side.
type tuple struct {
	src          netip.Addr
	proto        uint8
	sport, dport uint16
}

func parseTuple(b []byte) (t tuple) {
	nl.Attrs(b, func(kind uint16, v []byte) bool {
		nl.Attrs(v, func(inner uint16, v []byte) bool {
			switch {
			case kind == ctTupleIP && (inner == ctIP4Src || inner == ctIP6Src):
				t.src, _ = netip.AddrFromSlice(v)
			case kind == ctTupleProto && inner == ctProtoNum && len(v) > 0:
				t.proto = v[0]
			case kind == ctTupleProto && inner == ctProtoSPort && len(v) > 1:
				t.sport = binary.BigEndian.Uint16(v)
			case kind == ctTupleProto && inner == ctProtoDPort && len(v) > 1:
				t.dport = binary.BigEndian.Uint16(v)
			}
			return true
		})
		return true
	})
	return t
}

// forgetFlows forgets the UDP flows of bindings: those to their host ports, and those that a
// container's port answers.
func (h *Host) forgetFlows(e *Endpoint, bindings []Binding) {
	ports := make(map[uint16]bool)
	answers := make(map[netip.AddrPort]bool)
	for _, b := range bindings {
		if to, _ := e.target(b); b.Proto == "udp" {
			ports[b.Host] = true
			answers[netip.AddrPortFrom(to, b.Container)] = true
		}
	}
	if len(ports) == 0 {
		return
	}
	h.bg.Go(func() {
		err := dropFlows(func(orig, reply tuple) bool {
			return orig.proto == unix.IPPROTO_UDP && (ports[orig.dport] || answers[netip.AddrPortFrom(reply.src, reply.sport)])
		})
		if err != nil {
			h.log.Warn("forgetting the UDP flows of a published port", "container", e.Name, "error", err)
		}
	})
}

// dropFlows removes the entries of connection tracking that match.
func dropFlows(match func(orig, reply tuple) bool) error {
	s, err := nl.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer s.Close()
	var del nl.Batch
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		var b nl.Batch
		b.Begin(ctMsgGet, unix.NLM_F_DUMP, family, 0, 0, 0)
		b.End()
		err := s.Dump(&b, func(_ nl.Header, p []byte) {
			var raw []byte
			var orig, reply tuple
			if len(p) < 4 {
				return
			}
			nl.Attrs(p[4:], func(kind uint16, v []byte) bool {
				switch kind {
				case ctTupleOrig:
					raw, orig = v, parseTuple(v)
				case ctTupleReply:
					reply = parseTuple(v)
				}
				return true
			})
			if raw == nil || !match(orig, reply) || del.Len() > 1<<20 {
				return
			}
			del.Begin(ctMsgDelete, unix.NLM_F_ACK, family, 0, 0, 0)
			del.Attr(ctTupleOrig|unix.NLA_F_NESTED, raw)
			del.End()
		})
		if err != nil {
			return err
		}
	}
	if del.Messages() == 0 {
		return nil
	}
	if err := s.Grow(4 * del.Len()); err != nil {
		return err
	}
	if err := s.Do(&del); !errors.Is(err, unix.ENOENT) { // ended by itself
		return err
	}
	return nil
}
