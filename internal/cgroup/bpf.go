package cgroup

import (
	"golang.org/x/sys/unix"
)

// insn is one eBPF instruction (struct bpf_insn). The two registers share a byte, the
// destination in its low half on the little-endian machines that Hull runs on.
type insn struct {
	code uint8
	regs uint8
	off  int16
	imm  int32
}

// Opcodes used below (Documentation/bpf/standardization/instruction-set.rst).
const (
	opLoadW  = 0x61 // dst = *(u32 *)(src + off)
	opAnd32  = 0x54 // dst &= imm
	opRsh32  = 0x74 // dst >>= imm
	opMov32  = 0xb4 // dst = imm
	opMovR32 = 0xbc // dst = src
	opJump   = 0x05 // goto +off
	opJeqK   = 0x16 // if (u32)dst == imm goto +off
	opJeqR   = 0x1e // if (u32)dst == src goto +off
	opJsetK  = 0x46 // if (u32)dst & imm goto +off
	opExit   = 0x95
)

// Registers of the program: what struct bpf_cgroup_dev_ctx says of the access.
const (
	rResult = 0 // returned: 1 allows, 0 denies (EPERM)
	rCtx    = 1 // on entry; a scratch register afterwards
	rKind   = 2
	rAccess = 3
	rMajor  = 4
	rMinor  = 5
)

func op(code, dst, src uint8, off int16, imm int32) insn {
	return insn{code: code, regs: src<<4 | dst, off: off, imm: imm}
}

// compile turns a policy into a program for BPF_PROG_TYPE_CGROUP_DEVICE:
//
//	load kind, access, major, minor
//	for each exception:  if it does not match, go to the next
//	                     return the opposite of the default
//	return the default
//
// As in the kernel's v1 controller, an exception that allows must cover every access asked
// for, and one that denies matches when it has any of them: a rule that denies writing must
// stop open(O_RDWR).
//
// Each test is "if equal, skip the next instruction; goto next rule", not "if not equal, goto
// next rule": the kernel's verifier follows the fall-through first, so that it sees the state
// that knows least before those that know a number, and can prune them. The other way round a
// thousand rules exceed its limit of a million instructions.
func compile(p policy) []insn {
	prog := []insn{
		op(opLoadW, rKind, rCtx, 0, 0), // access_type: kind in the low half, access in the high
		op(opAnd32, rKind, 0, 0, 0xffff),
		op(opLoadW, rAccess, rCtx, 0, 0),
		op(opRsh32, rAccess, 0, 0, 16),
		op(opLoadW, rMajor, rCtx, 4, 0),
		op(opLoadW, rMinor, rCtx, 8, 0),
	}
	for _, r := range p.exceptions {
		start := len(prog)
		test := func(code, dst, src uint8, imm int32) {
			prog = append(prog, op(code, dst, src, 1, imm), op(opJump, 0, 0, 0, 0))
		}
		var kind int32 = unix.BPF_DEVCG_DEV_CHAR
		if r.kind == 'b' {
			kind = unix.BPF_DEVCG_DEV_BLOCK
		}
		test(opJeqK, rKind, 0, kind)
		if r.major != wildcard {
			test(opJeqK, rMajor, 0, int32(uint32(r.major)))
		}
		if r.minor != wildcard {
			test(opJeqK, rMinor, 0, int32(uint32(r.minor)))
		}
		switch {
		case r.access == accAll:
		case p.allow:
			test(opJsetK, rAccess, 0, bpfAccess(r.access))
		default:
			prog = append(prog, op(opMovR32, rCtx, rAccess, 0, 0), op(opAnd32, rCtx, 0, 0, bpfAccess(r.access)))
			test(opJeqR, rCtx, rAccess, 0)
		}
		prog = append(prog, verdict(!p.allow), op(opExit, 0, 0, 0, 0))
		for i := start; i < len(prog); i++ {
			if prog[i].code == opJump {
				prog[i].off = int16(len(prog) - i - 1)
			}
		}
	}
	return append(prog, verdict(p.allow), op(opExit, 0, 0, 0, 0))
}

func verdict(allow bool) insn {
	if allow {
		return op(opMov32, rResult, 0, 0, 1)
	}
	return op(opMov32, rResult, 0, 0, 0)
}

func bpfAccess(a uint8) int32 {
	var v int32
	if a&accRead != 0 {
		v |= unix.BPF_DEVCG_ACC_READ
	}
	if a&accWrite != 0 {
		v |= unix.BPF_DEVCG_ACC_WRITE
	}
	if a&accMknod != 0 {
		v |= unix.BPF_DEVCG_ACC_MKNOD
	}
	return v
}
