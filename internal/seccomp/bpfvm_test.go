package seccomp

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// data is struct seccomp_data.
type data struct {
	nr   uint32
	arch uint32
	args [6]uint64
}

func (d *data) bytes() []byte {
	b := binary.NativeEndian.AppendUint32(nil, d.nr)
	b = binary.NativeEndian.AppendUint32(b, d.arch)
	b = binary.NativeEndian.AppendUint64(b, 0xFFFF0000FFFF) // instruction pointer: no filter looks at it
	for _, arg := range d.args {
		b = binary.NativeEndian.AppendUint64(b, arg)
	}
	return b
}

// machine runs programs like the kernel does, and counts instructions.
type machine struct {
	filter []unix.SockFilter
	input  []byte
}

func (m *machine) run(d *data) (ret uint32, steps int) {
	m.input = d.bytes()
	return m.rerun()
}

func (m *machine) rerun() (ret uint32, steps int) {
	var acc uint32
	for pc := 0; ; pc++ {
		in := &m.filter[pc]
		steps++
		var cond bool
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.NativeEndian.Uint32(m.input[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K, steps
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			cond = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			cond = acc >= in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			cond = acc > in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			cond = acc&in.K != 0
		default:
			panic(fmt.Sprintf("instruction %d has code %#x", pc, in.Code))
		}
		if cond {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
}

// constAllow is the kernel's seccomp_is_const_allow: whether the filter returns ALLOW for a call without a look at
// anything but nr and arch, so that the kernel need not run it for that call again.
func constAllow(filter []unix.SockFilter, nr, arch uint32) bool {
	var acc uint32
	for pc := 0; ; pc++ {
		in := &filter[pc]
		var cond bool
		switch in.Code {
		case insLoad:
			switch in.K {
			case offNr:
				acc = nr
			case offArch:
				acc = arch
			default:
				return false
			}
			continue
		case insRet:
			return in.K == unix.SECCOMP_RET_ALLOW
		case insJump:
			pc += int(in.K)
			continue
		case insJEQ:
			cond = acc == in.K
		case insJGE:
			cond = acc >= in.K
		case insJSET:
			cond = acc&in.K != 0
		case insAnd:
			acc &= in.K
			continue
		default:
			return false
		}
		if cond {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
}

// validate is the kernel's bpf_check_classic and seccomp_check_filter, written apart from checkProgram.
func validate(filter []unix.SockFilter) error {
	if len(filter) == 0 || len(filter) > 4096 {
		return fmt.Errorf("%d instructions", len(filter))
	}
	for i, in := range filter {
		switch in.Code {
		case 0x20: // ld [k]
			if in.K&3 != 0 || in.K >= 64 {
				return fmt.Errorf("instruction %d loads from %d", i, in.K)
			}
		case 0x54, 0x06: // and, ret
		case 0x05: // ja
			if uint64(i)+1+uint64(in.K) >= uint64(len(filter)) {
				return fmt.Errorf("instruction %d jumps to %d of %d", i, uint64(i)+1+uint64(in.K), len(filter))
			}
		case 0x15, 0x25, 0x35, 0x45: // jeq, jgt, jge, jset
			if i+1+int(in.Jt) >= len(filter) || i+1+int(in.Jf) >= len(filter) {
				return fmt.Errorf("instruction %d jumps out of the program", i)
			}
		default:
			return fmt.Errorf("instruction %d has code %#x", i, in.Code)
		}
	}
	if last := filter[len(filter)-1]; last.Code != 0x06 {
		return fmt.Errorf("the last instruction has code %#x", last.Code)
	}
	return nil
}

// longestPath is the largest number of instructions that a run can execute.
func longestPath(filter []unix.SockFilter) int {
	longest := make([]int, len(filter)+1)
	for i := len(filter) - 1; i >= 0; i-- {
		switch in := filter[i]; in.Code {
		case insRet:
			longest[i] = 1
		case insJump:
			longest[i] = 1 + longest[i+1+int(in.K)]
		case insLoad, insAnd:
			longest[i] = 1 + longest[i+1]
		default:
			longest[i] = 1 + max(longest[i+1+int(in.Jt)], longest[i+1+int(in.Jf)])
		}
	}
	return longest[0]
}

// disassemble writes a program with one instruction a line and absolute jump targets.
func disassemble(filter []unix.SockFilter) string {
	var b strings.Builder
	for i, in := range filter {
		fmt.Fprintf(&b, "%4d  ", i)
		jump := func(op string) {
			fmt.Fprintf(&b, "%-4s %#x, %d, %d\n", op, in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		}
		switch in.Code {
		case insLoad:
			what := fmt.Sprintf("arg%d", (in.K-offArgs)/8)
			switch {
			case in.K == offNr:
				what = "nr"
			case in.K == offArch:
				what = "arch"
			case in.K%8 == 4:
				what += ".high"
			default:
				what += ".low"
			}
			fmt.Fprintf(&b, "ld   %s\n", what)
		case insAnd:
			fmt.Fprintf(&b, "and  %#x\n", in.K)
		case insJump:
			fmt.Fprintf(&b, "ja   %d\n", i+1+int(in.K))
		case insJEQ:
			jump("jeq")
		case insJGE:
			jump("jge")
		case insJSET:
			jump("jset")
		case insRet:
			fmt.Fprintf(&b, "ret  %s\n", verdictName(in.K))
		}
	}
	return b.String()
}

func verdictName(ret uint32) string {
	for _, a := range actions {
		if a.ret == ret&unix.SECCOMP_RET_ACTION_FULL {
			name := strings.TrimPrefix(a.name, "SCMP_ACT_")
			if name == "KILL" {
				name = "KILL_THREAD"
			}
			if data := ret & unix.SECCOMP_RET_DATA; data != 0 {
				name += fmt.Sprintf("(%d)", data)
			}
			return name
		}
	}
	return fmt.Sprintf("%#x", ret)
}
