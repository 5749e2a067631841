package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// maxErrno is the kernel's MAX_ERRNO; it silently lowers larger values.
	maxErrno = 4095
	// maxArg is the last index of seccomp_data.args.
	maxArg = 5
	// maxConds bounds the conditions of one rule. Each needs an instruction of its own unless another one covers it.
	maxConds = maxInstructions
	// maxWarnings bounds Program.Warnings, as profiles come from outside.
	maxWarnings = 32
)

// cond is a condition on one argument. Where op is opMasked, value has no bit outside of mask.
type cond struct {
	arg   uint8
	op    op
	value uint64
	mask  uint64
}

// rule is a conjunction of conditions on different arguments, sorted by argument, and the verdict it leads to.
type rule struct {
	conds []cond
	ret   uint32
}

// entry is one element of linux.seccomp.syscalls, checked. Its rules are alternatives.
type entry struct {
	names []uint16 // indexes by findName
	rules []rule   // none if the action is the default one
}

// profile is a specs.LinuxSeccomp, checked and independent of the ABI.
type profile struct {
	defaultRet uint32
	stub       bool // numbers above the largest named one fail with ENOSYS
	abis       []*abi
	flags      uint32
	notify     bool
	entries    []entry
	warnings   warnings
}

// warnings collects remarks up to maxWarnings and counts the others.
type warnings struct {
	lines []string
	more  int
}

func (w *warnings) add(format string, args ...any) {
	if len(w.lines) == maxWarnings-1 {
		w.more++
		return
	}
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *warnings) all() []string {
	if w.more == 0 {
		return w.lines
	}
	return append(w.lines, fmt.Sprintf("linux.seccomp: %d more warnings", w.more))
}

// check turns the section of config.json into a profile. Errors start with the name of the field.
func check(s *specs.LinuxSeccomp, native string) (*profile, error) {
	p := &profile{}
	var err error
	if p.defaultRet, err = parseAction("defaultAction", s.DefaultAction, "defaultErrnoRet", s.DefaultErrnoRet); err != nil {
		return nil, fmt.Errorf("linux.seccomp.%w", err)
	}
	switch p.defaultRet & unix.SECCOMP_RET_ACTION_FULL {
	case retAllow, retLog, retTrace:
		// A tracer is expected to know new calls, like the kernel does.
	default:
		p.stub = true
	}
	p.notify = p.defaultRet == retNotify
	if err := p.checkArches(s.Architectures, native); err != nil {
		return nil, err
	}
	for i := range s.Syscalls {
		if err := p.checkSyscall(i, &s.Syscalls[i]); err != nil {
			return nil, fmt.Errorf("linux.seccomp.syscalls[%d].%w", i, err)
		}
	}
	if err := p.checkFlags(s.Flags); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *profile) checkArches(names []specs.Arch, native string) error {
	if native == "" {
		native = nativeName()
	}
	first := findABI(native)
	if first == nil || first.bit != 0 {
		return fmt.Errorf("linux.seccomp: no system call table for the native architecture %q", clip(native))
	}
	p.abis = append(p.abis, first)
	for i, name := range names {
		if !slices.Contains(arches[:], string(name)) {
			return fmt.Errorf("linux.seccomp.architectures[%d]: unknown architecture %q", i, clip(string(name)))
		}
		switch a := findABI(string(name)); {
		case a == nil:
			p.warnings.add("linux.seccomp.architectures[%d]: no system call table for %s: calls through it are killed", i, name)
		case !slices.Contains(p.abis, a):
			p.abis = append(p.abis, a)
		}
	}
	return nil
}

func (p *profile) checkFlags(names []specs.LinuxSeccompFlag) error {
	if names == nil {
		p.flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
next:
	for i, name := range names {
		for _, f := range flags {
			if f.name == string(name) {
				p.flags |= f.flag
				continue next
			}
		}
		return fmt.Errorf("linux.seccomp.flags[%d]: unknown flag %q", i, clip(string(name)))
	}
	if p.notify {
		p.flags |= flagNotify
	} else if p.flags&flagWait != 0 {
		return fmt.Errorf("linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY")
	}
	return nil
}

// checkSyscall checks one entry and appends it. If its action is the default one it has no rules, but its names still
// raise the largest number that the ENOSYS stub lets through. Errors start with the field below the entry.
func (p *profile) checkSyscall(number int, s *specs.LinuxSyscall) error {
	ret, err := parseAction("action", s.Action, "errnoRet", s.ErrnoRet)
	if err != nil {
		return err
	}
	if len(s.Names) == 0 {
		p.warnings.add("linux.seccomp.syscalls[%d].names: is empty, so the rule has no effect", number)
	}
	e := entry{names: make([]uint16, 0, len(s.Names))}
	for i, name := range s.Names {
		switch index := findName(name); {
		case name == "":
			return fmt.Errorf("names[%d]: must not be empty", i)
		case index < 0:
			p.warnings.add("linux.seccomp.syscalls[%d].names[%d]: unknown system call %q", number, i, clip(name))
		default:
			e.names = append(e.names, uint16(index))
		}
	}
	p.notify = p.notify || ret == retNotify && len(s.Names) > 0

	if len(s.Args) > maxConds {
		return fmt.Errorf("args: has %d conditions, at most %d are possible", len(s.Args), maxConds)
	}
	conds := make([]cond, len(s.Args))
	var seen, twice uint8
	for i := range s.Args {
		if conds[i], err = parseCond(&s.Args[i]); err != nil {
			return fmt.Errorf("args[%d].%w", i, err)
		}
		bit := uint8(1) << conds[i].arg
		twice |= seen & bit
		seen |= bit
	}
	switch {
	case ret == p.defaultRet:
	case twice != 0:
		p.warnings.add("linux.seccomp.syscalls[%d].args: two conditions on one argument: any one of the conditions is enough, as in runc", number)
		for _, c := range conds {
			e.rules = append(e.rules, rule{[]cond{c}, ret})
		}
	default:
		slices.SortFunc(conds, func(a, b cond) int { return int(a.arg) - int(b.arg) })
		e.rules = []rule{{conds, ret}}
	}
	p.entries = append(p.entries, e)
	return nil
}

// parseAction returns the SECCOMP_RET_* value of an action with its errno, EPERM if there is none.
func parseAction(field string, action specs.LinuxSeccompAction, errnoField string, errno *uint) (uint32, error) {
	for _, a := range actions {
		if a.name != string(action) {
			continue
		}
		limit, data := uint(0), uint(unix.EPERM)
		switch a.ret {
		case retErrno:
			limit = maxErrno
		case retTrace:
			limit = unix.SECCOMP_RET_DATA // not an errno but the tracer's event message
		default:
			if errno != nil {
				return 0, fmt.Errorf("%s: %s has no errno", errnoField, action)
			}
			return a.ret, nil
		}
		if errno != nil {
			data = *errno
		}
		if data > limit {
			return 0, fmt.Errorf("%s: %d is larger than %d", errnoField, data, limit)
		}
		return a.ret | uint32(data), nil
	}
	return 0, fmt.Errorf("%s: unknown action %q", field, clip(string(action)))
}

func parseCond(a *specs.LinuxSeccompArg) (cond, error) {
	if a.Index > maxArg {
		return cond{}, fmt.Errorf("index: %d is larger than %d", a.Index, maxArg)
	}
	for _, o := range operators {
		if o.name != string(a.Op) {
			continue
		}
		c := cond{arg: uint8(a.Index), op: o.op, value: a.Value, mask: ^uint64(0)}
		if c.op == opMasked {
			c.mask, c.value = a.Value, a.ValueTwo&a.Value
		}
		return c, nil
	}
	return cond{}, fmt.Errorf("op: unknown operator %q", clip(string(a.Op)))
}

// clip bounds the text from outside that an error repeats.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
