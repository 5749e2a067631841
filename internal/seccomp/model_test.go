package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// model says what a profile means, without a program and in the simplest way: go through the rules and see which match.
// It does not know the order of rules that overlap with different actions; there it returns all of them.
type model struct {
	def   uint32
	calls map[[2]uint32]*modelCall // by AUDIT_ARCH_* and number
	abis  []*abi
	stub  *stub
	// pseudo is set if a rule names a call that one of the ABIs lacks, and libseccomp builds a list, not a tree.
	pseudo bool
}

type modelCall struct {
	rules  []modelRule
	always *uint32 // of the first unconditional rule
	wide   bool
}

type modelRule struct {
	ret  uint32
	args []specs.LinuxSeccompArg
}

func newModel(s *specs.LinuxSeccomp, st *stub) *model {
	m := &model{def: runcAction(s.DefaultAction, s.DefaultErrnoRet), calls: make(map[[2]uint32]*modelCall), stub: st}
	named := 0
	for _, call := range s.Syscalls {
		named += len(call.Names)
	}
	for _, name := range append([]specs.Arch{specs.ArchX86_64}, s.Architectures...) {
		a := findABI(string(name))
		if slices.Contains(m.abis, a) {
			continue
		}
		m.abis = append(m.abis, a)
		for _, call := range s.Syscalls {
			ret := runcAction(call.Action, call.ErrnoRet)
			if ret == m.def {
				continue
			}
			for _, name := range call.Names {
				index := findName(name)
				if index < 0 {
					continue
				}
				if mux, selector := multiplexed(index); a.mux && mux != 0 {
					for _, args := range alternatives(call.Args) {
						args = slices.DeleteFunc(slices.Clone(args), func(arg specs.LinuxSeccompArg) bool { return arg.Index == 0 })
						args = append(args, specs.LinuxSeccompArg{Index: 0, Op: specs.OpEqualTo, Value: uint64(selector)})
						m.add(a, mux, ret, args)
					}
				}
				if nr, ok := a.number(index); !ok {
					m.pseudo = m.pseudo || named <= 32
				} else {
					for _, args := range alternatives(call.Args) {
						m.add(a, nr, ret, args)
					}
				}
			}
		}
	}
	return m
}

// alternatives splits conditions on the same argument as runc does.
func alternatives(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	for i, a := range args {
		for _, b := range args[:i] {
			if a.Index == b.Index {
				var split [][]specs.LinuxSeccompArg
				for i := range args {
					split = append(split, args[i:i+1])
				}
				return split
			}
		}
	}
	return [][]specs.LinuxSeccompArg{args}
}

func (m *model) add(a *abi, nr, ret uint32, args []specs.LinuxSeccompArg) {
	key := [2]uint32{a.audit, nr}
	c := m.calls[key]
	if c == nil {
		c = &modelCall{wide: a.wide}
		m.calls[key] = c
	}
	conditions := 0
	for _, arg := range args {
		if mask := arg.Value; arg.Op != specs.OpMaskedEqual || a.wide && mask != 0 || uint32(mask) != 0 {
			conditions++
		}
	}
	if conditions == 0 && c.always == nil {
		c.always = &ret
	}
	c.rules = append(c.rules, modelRule{ret, args})
}

// verdicts returns the possible verdicts.
func (m *model) verdicts(d *data) []uint32 {
	if ret, ok := m.stub.verdict(d); ok {
		return []uint32{ret}
	}
	var of *abi
	for _, a := range m.abis {
		if a.audit == d.arch {
			of = a
			if a.bit == d.nr&x32Bit || a.audit != unix.AUDIT_ARCH_X86_64 {
				break
			}
		}
	}
	if of == nil || of.audit == unix.AUDIT_ARCH_X86_64 && d.nr >= x32Bit && d.nr != ^uint32(0) && !slices.Contains(m.abis, findABI("SCMP_ARCH_X32")) {
		return []uint32{unix.SECCOMP_RET_KILL_THREAD}
	}
	c := m.calls[[2]uint32{d.arch, d.nr}]
	if c == nil {
		return []uint32{m.def}
	}
	if c.always != nil {
		return []uint32{*c.always}
	}
	var rets []uint32
	for _, r := range c.rules {
		if r.matches(d, c.wide) && !slices.Contains(rets, r.ret) {
			rets = append(rets, r.ret)
		}
	}
	if rets == nil {
		return []uint32{m.def}
	}
	return rets
}

func (r *modelRule) matches(d *data, wide bool) bool {
	for _, arg := range r.args {
		x, v, two := d.args[arg.Index], arg.Value, arg.ValueTwo
		if !wide {
			x, v, two = x&0xFFFFFFFF, v&0xFFFFFFFF, two&0xFFFFFFFF
		}
		ok := false
		switch arg.Op {
		case specs.OpEqualTo:
			ok = x == v
		case specs.OpNotEqual:
			ok = x != v
		case specs.OpLessThan:
			ok = x < v
		case specs.OpLessEqual:
			ok = x <= v
		case specs.OpGreaterEqual:
			ok = x >= v
		case specs.OpGreaterThan:
			ok = x > v
		case specs.OpMaskedEqual:
			ok = x&v == two&v
		}
		if !ok {
			return false
		}
	}
	return true
}

// suspect tells whether libseccomp 2.5.4 may get a call wrong, or choose among several matching rules in another way
// than order.go says. Its programs have two defects:
//
//   - Instructions after a test assume that the argument tested there is still loaded, though a jump from elsewhere may
//     arrive with another one. This needs several rules for one call of which one tests two words: two conditions, or on
//     a 64-bit ABI the high and the low word, unless all rules on that argument test the same high word for equality.
//   - Up to 32 names, the call number is loaded in front of the call with the highest priority, but if that one exists
//     on other ABIs only, it is left out, and the load with it.
//
// And two oddities, which come from one node serving for a comparison and its opposite:
//
//   - Of several NE rules with the same high word, the first one of the profile decides where the high word differs,
//     while where it is the same the order is that of order.go.
//   - GT and LE, or GE and LT, with the same value take the place of the one that is first in the profile.
func (m *model) suspect(d *data) bool {
	if m.pseudo {
		return true
	}
	c := m.calls[[2]uint32{d.arch, d.nr}]
	if c == nil || c.always != nil || len(c.rules) < 2 {
		return false
	}
	var equal, unequal, other [6]int // rules per argument
	for _, r := range c.rules {
		if len(r.args) > 1 {
			return true
		}
		arg := r.args[0]
		switch {
		case arg.Value>>32 == 0 && arg.Op == specs.OpEqualTo:
			equal[arg.Index]++
		case arg.Value>>32 == 0 && arg.Op == specs.OpNotEqual:
			equal[arg.Index]++
			unequal[arg.Index]++
		default:
			other[arg.Index]++
		}
		for _, b := range c.rules {
			if other := b.args[0]; arg.Index == other.Index && uint32(arg.Value) == uint32(other.Value) &&
				(arg.Op == specs.OpGreaterThan && other.Op == specs.OpLessEqual || arg.Op == specs.OpGreaterEqual && other.Op == specs.OpLessThan) {
				return true
			}
		}
	}
	for i := range other {
		if c.wide && (unequal[i] > 1 || other[i] > 1 || other[i] == 1 && equal[i] > 0) {
			return true
		}
	}
	return false
}

// contradicts tells whether some call has two rules of different actions with the same conditions, or a rule behind one
// with the same conditions and more.
func (m *model) contradicts() bool {
	for _, c := range m.calls {
		for i, late := range c.rules {
			for _, early := range c.rules[:i] {
				if late.ret != early.ret && startsWith(early.args, late.args, c.wide) {
					return true
				}
			}
		}
	}
	return false
}

func startsWith(long, short []specs.LinuxSeccompArg, wide bool) bool {
	return len(short) <= len(long) && slices.EqualFunc(normal(long, wide)[:len(short)], normal(short, wide), func(a, b specs.LinuxSeccompArg) bool { return a == b })
}

// normal sorts conditions by argument and removes what makes no difference.
func normal(args []specs.LinuxSeccompArg, wide bool) []specs.LinuxSeccompArg {
	args = slices.Clone(args)
	for i := range args {
		a := &args[i]
		if !wide {
			a.Value, a.ValueTwo = a.Value&0xFFFFFFFF, a.ValueTwo&0xFFFFFFFF
		}
		if a.Op == specs.OpMaskedEqual {
			a.ValueTwo &= a.Value
		} else {
			a.ValueTwo = 0
		}
	}
	slices.SortFunc(args, func(a, b specs.LinuxSeccompArg) int { return int(a.Index) - int(b.Index) })
	return args
}
