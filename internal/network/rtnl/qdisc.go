package rtnl

import (
	"golang.org/x/sys/unix"
)

// Numbers of uapi/linux/pkt_sched.h, pkt_cls.h and tc_act that package unix lacks.
const (
	tcaTBFParms   = 1
	tcaTBFRate64  = 4
	tcaTBFBurst   = 6
	tcaU32Sel     = 5
	tcaU32Act     = 7
	tcaActKind    = 1
	tcaActOptions = 2
	tcaMirredPrms = 2
	mirredRedir   = 1          // TCA_EGRESS_REDIR
	actStolen     = 4          // TC_ACT_STOLEN
	tcRoot        = 0xffffffff // TC_H_ROOT
	ingressHandle = 0xffff0000
	ingressParent = 0xfffffff1 // TC_H_INGRESS
)

func tcmsg(index int, handle, parent, info uint32) []byte {
	b := make([]byte, 20)
	native.PutUint32(b[4:], uint32(index))
	native.PutUint32(b[8:], handle)
	native.PutUint32(b[12:], parent)
	native.PutUint32(b[16:], info)
	return b
}

// Rate limits what a device sends to bytes per second, with a token bucket that holds burst bytes
// and a queue of queue bytes.
func (p *Plan) Rate(index int, name string, rate uint64, burst, queue uint32) {
	p.begin(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, tcmsg(index, 0x10000, tcRoot, 0), "qdisc replace dev %s root tbf rate %dBps burst %d limit %d", name, rate, burst, queue)
	p.b.Str(unix.TCA_KIND, "tbf")
	p.b.Nest(unix.TCA_OPTIONS)
	opt := make([]byte, 36) // struct tc_tbf_qopt: two of struct tc_ratespec, limit, buffer, mtu
	opt[1] = 1              // TC_LINKLAYER_ETHERNET: no table of sizes
	native.PutUint32(opt[8:], uint32(min(rate, 1<<32-1)))
	native.PutUint32(opt[24:], queue)
	p.b.Attr(tcaTBFParms, opt)
	p.b.U32(tcaTBFBurst, burst)
	if rate >= 1<<32 {
		p.b.U64(tcaTBFRate64, rate)
	}
	p.b.Up()
	p.b.End()
}

// Unrate takes a device's limit away.
func (p *Plan) Unrate(index int, name string) {
	p.begin(unix.RTM_DELQDISC, 0, tcmsg(index, 0, tcRoot, 0), "qdisc del dev %s root", name)
	p.b.End()
}

// IFB makes a device that packets can be sent through on their way in, and sets it up.
func (p *Plan) IFB(name, alias string) {
	p.begin(unix.RTM_NEWLINK, create, ifinfo(0, unix.IFF_UP, unix.IFF_UP), "link add %s up type ifb", name)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.b.Nest(unix.IFLA_LINKINFO)
	p.b.Str(unix.IFLA_INFO_KIND, "ifb")
	p.b.Up()
	p.b.End()
	p.Alias(name, alias)
}

// Through sends all that comes in by a device through an IFB.
func (p *Plan) Through(index int, name string, ifb int) {
	p.begin(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, tcmsg(index, ingressHandle, ingressParent, 0), "qdisc add dev %s ingress", name)
	p.b.Str(unix.TCA_KIND, "ingress")
	p.b.End()
	const prio, all = 1 << 16, unix.ETH_P_ALL // ETH_P_ALL in network byte order
	p.begin(unix.RTM_NEWTFILTER, create, tcmsg(index, 0, ingressHandle, prio|(all>>8|all&0xff<<8)), "filter add dev %s ingress u32 match u32 0 0 action mirred egress redirect dev %d", name, ifb)
	p.b.Str(unix.TCA_KIND, "u32")
	p.b.Nest(unix.TCA_OPTIONS)
	sel := make([]byte, 16+16) // struct tc_u32_sel with one key that matches everything
	sel[0], sel[2] = 1, 1      // TC_U32_TERMINAL, one key
	p.b.Attr(tcaU32Sel, sel)
	p.b.Nest(tcaU32Act)
	p.b.Nest(1)
	p.b.Str(tcaActKind, "mirred")
	p.b.Nest(tcaActOptions)
	m := make([]byte, 28) // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex
	native.PutUint32(m[8:], actStolen)
	native.PutUint32(m[20:], mirredRedir)
	native.PutUint32(m[24:], uint32(ifb))
	p.b.Attr(tcaMirredPrms, m)
	p.b.Up()
	p.b.Up()
	p.b.Up()
	p.b.Up()
	p.b.End()
}
