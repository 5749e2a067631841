package seccomp

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options changes what Compile takes from its surroundings.
type Options struct {
	// Native is the SCMP_ARCH_* name of the machine that will run the program; "" is this binary's own.
	Native string
}

// Program is a compiled profile.
type Program struct {
	// Filter is the program for seccomp(2), 1 to 4096 instructions.
	Filter []unix.SockFilter
	// Flags are the SECCOMP_FILTER_FLAG_* bits to pass with it. They include NEW_LISTENER if Notify is set.
	Flags uint32
	// Notify tells that a rule has SCMP_ACT_NOTIFY: seccomp(2) then returns the listener's descriptor. That
	// linux.seccomp.listenerPath is set is for the caller to check.
	Notify bool
	// Warnings are sentences about parts of the profile that have no or a surprising effect; at most 32.
	Warnings []string
}

// Compile turns a profile into a program; see the package comment for its meaning. A nil or empty section (no default
// action and no rules) means no filter: the result is nil. Errors are one sentence and start with the field's name.
func Compile(s *specs.LinuxSeccomp, opt Options) (*Program, error) {
	if s == nil || s.DefaultAction == "" && len(s.Syscalls) == 0 {
		return nil, nil
	}
	p, err := check(s, opt.Native)
	if err != nil {
		return nil, err
	}
	c := compiler{profile: p, shared: make(map[string]target)}
	if err := c.generate(); err != nil {
		return nil, err
	}
	return &Program{Filter: c.program(), Flags: p.flags, Notify: p.notify, Warnings: p.warnings.all()}, nil
}

// compiler generates the program of a profile.
type compiler struct {
	*profile
	assembler
	shared map[string]target // decisions already emitted, by call.appendKey
	key    []byte            // buffer
}

// generate emits, from the end of the program to its begin: for each AUDIT_ARCH_* the decisions of its calls and the
// search over its numbers, the native one last, so that it comes first; then the choice between them.
func (c *compiler) generate() error {
	type section struct {
		audit uint32
		start target
	}
	var sections []section
	for i := len(c.abis) - 1; i >= 0; i-- {
		a := c.abis[i]
		if a.mux {
			c.warnMultiplexed()
		}
		// x86_64 and x32 share a section, made when the earlier one of them is met.
		second := (*abi)(nil)
		shared := false
		for j, other := range c.abis {
			if j != i && other.audit == a.audit {
				second, shared = other, j < i
			}
		}
		if shared {
			continue
		}
		pieces, err := c.piecesOf(a, second)
		if err != nil {
			return err
		}
		sections = append(sections, section{a.audit, c.searchWord(offNr, pieces)})
	}
	// The native section was made last and is tested first. A foreign call is killed: libseccomp's SCMP_FLTATR_ACT_BADARCH.
	next := verdict(retKillThread)
	for _, s := range sections {
		next = c.jump(insJEQ, s.audit, s.start, next)
	}
	c.load(offArch, next)
	if c.full {
		return fmt.Errorf("linux.seccomp: the program would have more than %d instructions", maxInstructions)
	}
	return nil
}

// piecesOf emits the decisions of one ABI, or of x86_64 and x32, which share an AUDIT_ARCH_*, and returns the pieces of
// its call numbers.
func (c *compiler) piecesOf(a, second *abi) ([]piece, error) {
	if a.audit != unix.AUDIT_ARCH_X86_64 {
		list, _, _, err := c.appendCalls(nil, a)
		return list, err
	}
	native, x32 := a, second
	if native.bit != 0 {
		native, x32 = x32, native
	}
	// Bit 30 tells x32 from x86_64. Bit 31 has no meaning, but makes a number larger than all others.
	var list []piece
	var err error
	var stub bool
	killed, otherwise := verdict(retKillThread), verdict(c.defaultRet)
	above, aboveX32 := killed, killed
	if native != nil {
		if list, above, stub, err = c.appendCalls(list, native); err != nil {
			return nil, err
		}
	} else {
		list = appendPiece(list, 0, killed)
	}
	if x32 != nil {
		if list, aboveX32, _, err = c.appendCalls(list, x32); err != nil {
			return nil, err
		}
	} else {
		list = appendPiece(list, x32Bit, killed)
	}
	switch {
	case native == nil:
		above = otherwise // libseccomp checks for >= 1<<30 here, not for the bit
	case x32 == nil && !stub:
		above = killed // likewise
	}
	list = appendPiece(list, 1<<31, above)
	list = appendPiece(list, 1<<31|x32Bit, aboveX32)
	if x32 == nil {
		// A tracer skips a call by setting its number to -1; that must not kill (seccomp(2), notes on SECCOMP_RET_TRACE).
		list = appendPiece(list, ^uint32(0), otherwise)
	}
	return list, nil
}

// appendCalls emits the decisions of an ABI and appends the pieces of its numbers, from its bit on. The last piece leads
// to above, the verdict for the numbers larger than all that the profile names; stub tells that it is ENOSYS.
func (c *compiler) appendCalls(list []piece, a *abi) (_ []piece, above target, stub bool, _ error) {
	otherwise := verdict(c.defaultRet)
	calls, largest := c.callsOf(a)
	stub = c.stub && largest != 0
	list = appendPiece(list, a.bit, otherwise)
	for i := range calls {
		call := &calls[i]
		if c.full || stub && call.nr > largest {
			break // the stub comes before all rules: happens to multiplexed calls, which do not count for largest
		}
		to, err := c.decision(call, a)
		if err != nil {
			return nil, target{}, false, err
		}
		list = appendPiece(list, call.nr, to)
		list = appendPiece(list, call.nr+1, otherwise)
	}
	if !stub {
		return list, otherwise, false, nil
	}
	above = verdict(retErrno | uint32(unix.ENOSYS))
	return appendPiece(list, largest+1, above), above, true, nil
}

// decision returns where the rules of a call are tried, emitting them if no other call had the same ones.
func (c *compiler) decision(call *call, a *abi) (target, error) {
	c.key = call.appendKey(c.key[:0], a.wide)
	if to, ok := c.shared[string(c.key)]; ok {
		return to, nil
	}
	rules, always := c.rulesFor(call, a.wide)
	to := verdict(rules[0].ret)
	if !always {
		var err error
		if rules, err = sortRules(rules, a.wide); err != nil {
			return target{}, fmt.Errorf("linux.seccomp.syscalls: %w of %s", err, c.nameOf(call, a))
		}
		to = c.decide(rules, verdict(c.defaultRet), a.wide)
	}
	c.shared[string(c.key)] = to
	return to, nil
}

// nameOf names a call for an error.
func (c *compiler) nameOf(call *call, a *abi) string {
	for i := range numNames {
		if nr, ok := a.number(i); ok && nr == call.nr {
			return fmt.Sprintf("%s on %s", nameAt(i), a.name)
		}
	}
	return fmt.Sprintf("system call %d on %s", call.nr, a.name)
}
