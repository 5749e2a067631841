package seccomp

import (
	"golang.org/x/sys/unix"
)

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = unix.BPF_MAXINSNS

// Offsets into struct seccomp_data (linux/seccomp.h). All ABIs with a table are little-endian.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// Instructions. Only these are used: the kernel runs a filter that consists of them (and looks at nothing but nr and
// arch on the way) once at installation for each call, and remembers where it returns ALLOW (seccomp_is_const_allow in
// kernel/seccomp.c). Such calls do not run the filter any more.
const (
	insLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	insAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	insJump = unix.BPF_JMP | unix.BPF_JA
	insJEQ  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	insJGE  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	insJSET = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	insRet  = unix.BPF_RET | unix.BPF_K
)

// nearSkip is how far a conditional jump is sent directly. The field holds 255; the rest is room for the instructions
// that assembler.jump may have to put in between.
const nearSkip = 250

// target is where control goes: to an instruction that exists, or to a verdict that gets one where it is needed.
type target struct {
	at  int // index in assembler.code, or -1
	ret uint32
}

func verdict(ret uint32) target { return target{at: -1, ret: ret} }

// assembler builds a program from its end. So every jump's target is known when the jump is made, and all jumps go
// forward, as BPF demands.
//
//	program:  first ...................... last
//	code:     code[len-1] ... code[1] code[0]
//
// Conditional jumps reach 255 instructions. Where a target is farther away the jump goes to a `ja` right behind it, or,
// for a verdict, to another copy of its `ret`.
type assembler struct {
	code []unix.SockFilter
	// full is set when the program passed the limit. From then on nothing is emitted, and the loops over the profile
	// stop as soon as they see it.
	full bool
	rets []target // where each verdict was emitted last
	ways []int    // for each instruction, how many are executed from there at most
}

func (a *assembler) emit(code uint16, jt, jf uint8, k uint32) target {
	if len(a.code) >= maxInstructions {
		a.full = true
		return target{at: len(a.code) - 1}
	}
	way := 0
	switch at := len(a.code) - 1; code {
	case insRet:
	case insJump:
		way = a.ways[at-int(k)]
	case insLoad, insAnd:
		way = a.ways[at]
	default:
		way = max(a.ways[at-int(jt)], a.ways[at-int(jf)])
	}
	a.code = append(a.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
	a.ways = append(a.ways, way+1)
	return target{at: len(a.code) - 1}
}

// longest returns how many instructions are executed from t at most.
func (a *assembler) longest(t target) int {
	if t.at < 0 {
		return 1
	}
	return a.ways[t.at]
}

// skip returns the jump distance to an instruction from the next one to be emitted.
func (a *assembler) skip(t target) int { return len(a.code) - 1 - t.at }

// ret returns a near `ret` for a verdict.
func (a *assembler) ret(k uint32) target {
	for i := range a.rets {
		if a.rets[i].ret != k {
			continue
		}
		if a.skip(a.rets[i]) > nearSkip {
			a.rets[i].at = a.emit(insRet, 0, 0, k).at
		}
		return a.rets[i]
	}
	t := target{at: a.emit(insRet, 0, 0, k).at, ret: k}
	a.rets = append(a.rets, t)
	return t
}

// near returns a target that a conditional jump reaches and that leads to t.
func (a *assembler) near(t target) target {
	if t.at < 0 {
		return a.ret(t.ret)
	}
	if a.skip(t) <= nearSkip {
		return t
	}
	// Another jump may have needed the same bridge.
	for at := len(a.code) - 1; at >= 0 && at >= len(a.code)-nearSkip; at-- {
		if in := &a.code[at]; in.Code == insJump && at-1-int(in.K) == t.at {
			return target{at: at}
		}
	}
	return a.emit(insJump, 0, 0, uint32(a.skip(t)))
}

// jump emits a conditional jump.
func (a *assembler) jump(code uint16, k uint32, yes, no target) target {
	yes, no = a.near(yes), a.near(no)
	return a.emit(code, uint8(a.skip(yes)), uint8(a.skip(no)), k)
}

// load emits a load of the word at an offset of seccomp_data, after which control goes to next.
func (a *assembler) load(offset uint32, next target) target {
	switch {
	case next.at < 0:
		return next // a verdict needs nothing loaded
	case a.skip(next) > 0:
		a.emit(insJump, 0, 0, uint32(a.skip(next)))
	}
	return a.emit(insLoad, 0, 0, offset)
}

// program returns the instructions in their order of execution.
func (a *assembler) program() []unix.SockFilter {
	out := make([]unix.SockFilter, len(a.code))
	for i, in := range a.code {
		out[len(out)-1-i] = in
	}
	return out
}
