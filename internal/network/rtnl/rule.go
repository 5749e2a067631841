package rtnl

import (
	"golang.org/x/sys/unix"
)

// MarkedToLocal delivers packets with a mark to this host, whatever their destination: a rule, and a
// table with one route. It is there for both families already, or is made.
func (p *Plan) MarkedToLocal(mark, table, priority uint32, loopback int, v6 bool) {
	family, word := byte(unix.AF_INET), "-4"
	if v6 {
		family, word = unix.AF_INET6, "-6"
	}
	r := make([]byte, unix.SizeofRtMsg)
	r[0], r[4], r[5], r[6], r[7] = family, unix.RT_TABLE_UNSPEC, unix.RTPROT_BOOT, unix.RT_SCOPE_HOST, unix.RTN_LOCAL
	p.begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, r, "%s route replace local default dev lo table %d", word, table)
	p.b.U32(unix.RTA_TABLE, table)
	p.b.U32(unix.RTA_OIF, uint32(loopback))
	p.b.End()
	f := make([]byte, 12) // struct fib_rule_hdr: family, dst_len, src_len, tos, table, res1, res2, action, flags
	f[0], f[7] = family, unix.FR_ACT_TO_TBL
	p.begin(unix.RTM_NEWRULE, create, f, "%s rule add fwmark %#x lookup %d priority %d", word, mark, table, priority)
	p.b.U32(unix.FRA_FWMARK, mark)
	p.b.U32(unix.FRA_TABLE, table)
	p.b.U32(unix.FRA_PRIORITY, priority)
	p.b.End()
}
