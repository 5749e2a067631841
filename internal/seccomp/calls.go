package seccomp

import (
	"encoding/binary"
	"slices"
)

// ref names an entry that applies to a call. selector is not 0 where the call is reached through socketcall(2) or
// ipc(2): there argument 0 is the selector, and the entry's own condition on it has no place.
type ref struct {
	entry    uint32
	selector uint32
}

// call is one number of an ABI with the entries that name it, in the profile's order.
type call struct {
	nr   uint32
	refs []ref
}

// callsOf lists the calls of one ABI that have rules, sorted by number, and the largest number that the profile names
// there (0: none), as runc's findLastSyscalls computes it.
func (p *profile) callsOf(a *abi) (calls []call, largest uint32) {
	// Each use of a name is a ref. Sorting their numbers, with the place of the ref below, groups them by call.
	var uses []uint64
	var found []ref
	add := func(nr uint32, r ref) {
		uses = append(uses, uint64(nr)<<32|uint64(len(found)))
		found = append(found, r)
	}
	for i := range p.entries {
		e := &p.entries[i]
		for _, index := range e.names {
			mux, selector := uint32(0), uint32(0)
			if a.mux {
				mux, selector = multiplexed(int(index))
			}
			nr, ok := a.number(int(index))
			if ok && mux == 0 {
				largest = max(largest, nr)
			}
			if e.rules == nil {
				continue
			}
			if mux != 0 {
				add(mux, ref{uint32(i), selector})
			}
			if ok {
				add(nr, ref{uint32(i), 0})
			}
		}
	}
	slices.Sort(uses)
	refs := make([]ref, len(uses))
	for i, use := range uses {
		refs[i] = found[uint32(use)]
		if nr := uint32(use >> 32); len(calls) == 0 || calls[len(calls)-1].nr != nr {
			calls = append(calls, call{nr: nr, refs: refs[i:i]})
		}
		last := &calls[len(calls)-1]
		last.refs = last.refs[:len(last.refs)+1]
	}
	return calls, largest
}

// warnMultiplexed names the calls whose conditions do not hold when they are made through socketcall(2) or ipc(2).
func (p *profile) warnMultiplexed() {
	var told []uint16
	for i := range p.entries {
		if !slices.ContainsFunc(p.entries[i].rules, func(r rule) bool { return len(r.conds) > 0 }) {
			continue
		}
		for _, index := range p.entries[i].names {
			nr, _ := multiplexed(int(index))
			if nr == 0 || slices.Contains(told, index) {
				continue
			}
			told = append(told, index)
			through := "socketcall"
			if nr == x86IPC {
				through = "ipc"
			}
			if p.decides(through) {
				continue
			}
			p.warnings.add("linux.seccomp.syscalls: conditions on %s cannot be checked when it is called through %s of SCMP_ARCH_X86",
				nameAt(int(index)), through)
		}
	}
}

// decides says whether the profile has a rule without conditions for a call: it beats all others.
func (p *profile) decides(name string) bool {
	return slices.ContainsFunc(p.entries, func(e entry) bool {
		return slices.ContainsFunc(e.names, func(i uint16) bool { return nameAt(int(i)) == name }) &&
			slices.ContainsFunc(e.rules, func(r rule) bool { return len(r.conds) == 0 })
	})
}

// appendKey appends what identifies the rules of a call: calls with equal keys share one decision.
func (c *call) appendKey(b []byte, wide bool) []byte {
	if wide {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	for _, r := range c.refs {
		b = binary.LittleEndian.AppendUint32(b, r.entry)
		b = binary.LittleEndian.AppendUint32(b, r.selector)
	}
	return b
}

// rulesFor gathers the rules of a call in the profile's order, as this width of argument sees them. If one of them has
// no condition, that one alone decides and is returned with true.
func (p *profile) rulesFor(c *call, wide bool) ([]rule, bool) {
	var rules []rule
	for _, r := range c.refs {
		for _, from := range p.entries[r.entry].rules {
			to := rule{ret: from.ret, conds: make([]cond, 0, len(from.conds)+1)}
			if r.selector != 0 {
				to.conds = append(to.conds, cond{op: opEQ, value: uint64(r.selector), mask: ^uint64(0)})
			}
			for _, cd := range from.conds {
				if r.selector != 0 && cd.arg == 0 {
					continue
				}
				if !wide {
					cd.mask &= 0xFFFFFFFF
					cd.value &= cd.mask
				}
				if cd.mask != 0 { // else it always holds
					to.conds = append(to.conds, cd)
				}
			}
			if len(to.conds) == 0 {
				return []rule{to}, true
			}
			rules = append(rules, to)
		}
	}
	return rules, false
}
