package launch

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// program is what the child sees: words and one pointer, no Go strings, slices or interfaces.
type program struct {
	steps  unsafe.Pointer // *[n]step
	n      int32
	report int32          // descriptor for the report, or -1
	close  unsafe.Pointer // *[nclose][2]uint32, descriptors first to last that are not the child's
	nclose int32
	pidfd  int32 // for clone3 to write, here because this is on the heap: a stack moves when it grows
	slots  [maxSlots]uintptr
}

// failCode is the exit status of a child whose step failed; the report has the details.
const failCode = 127

// run executes the program. It does not return. See the package comment for the rules
// that this function and what it calls obey.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *program) run() {
	// Born with all signals blocked (clone) and none handled (CLONE_CLEAR_SIGHAND).
	var none uint64
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
	for i := int32(0); i < p.nclose; i++ {
		r := (*[2]uint32)(unsafe.Add(p.close, uintptr(i)*unsafe.Sizeof([2]uint32{})))
		if _, _, errno := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, uintptr(r[0]), uintptr(r[1]), 0, 0, 0, 0); errno != 0 {
			p.fail(p.n, errno)
		}
	}
	for i := int32(0); i < p.n; {
		s := (*step)(unsafe.Add(p.steps, uintptr(i)*unsafe.Sizeof(step{})))
		next := i + 1
		var errno syscall.Errno
		switch s.op {
		case opCall, opWant:
			a := s.args
			if s.refs != 0 {
				for j := 0; j < 6; j++ {
					if s.refs&(1<<j) != 0 {
						a[j] = p.slots[uint8(a[j])]
					}
				}
			}
			var r uintptr
			r, _, errno = syscall.RawSyscall6(uintptr(s.nr), a[0], a[1], a[2], a[3], a[4], a[5])
			if errno == 0 {
				if s.op == opWant && uint32(r) != s.want {
					errno = unix.EPROTO
				} else {
					p.slots[s.out] = r
				}
			}
		case opJump:
			next = s.other
		case opJumpZero:
			if p.slots[uint8(s.args[0])] == 0 {
				next = s.other
			}
		case opStore32:
			**(**uint32)(unsafe.Pointer(&s.args[0])) = uint32(p.slots[uint8(s.args[1])])
		case opStore64:
			**(**uint64)(unsafe.Pointer(&s.args[0])) = uint64(p.slots[uint8(s.args[1])])
		case opLoad32:
			p.slots[s.out] = uintptr(**(**uint32)(unsafe.Pointer(&s.args[0])))
		case opAssert:
			if **(**uint32)(unsafe.Pointer(&s.args[0]))&uint32(s.args[1]) != uint32(s.args[2]) {
				if s.other == 0 {
					p.fail(i, syscall.Errno(s.args[3]))
				}
				next = s.other
			}
		case opSet:
			p.slots[s.out] = s.args[0]
		case opFail:
			p.fail(i, syscall.Errno(s.args[0]))
		case opFailSlot:
			if e := -p.slots[uint8(s.args[0])]; e != 0 && e < 4096 {
				p.fail(i, syscall.Errno(e))
			}
		case opClose:
			for a := s.args[5]; errno == 0; a += 8 {
				pair := *(**[2]uint32)(unsafe.Pointer(&a))
				if pair[1] == 0 {
					break
				}
				_, _, errno = syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, uintptr(pair[0]), uintptr(pair[1]), 0, 0, 0, 0)
			}
		case opExit:
			syscall.RawSyscall6(unix.SYS_EXIT_GROUP, s.args[0], 0, 0, 0, 0, 0)
		}
		if errno != 0 {
			e := uint16(errno)
			if e != s.ok[0] && e != s.ok[1] && e != s.ok[2] && e != s.ok[3] {
				p.fail(i, errno)
			}
			p.slots[s.out] = -uintptr(errno)
			if s.other != 0 {
				next = s.other
			}
		}
		i = next
	}
	p.fail(p.n, 0) // a plan ends in execve or exit; falling off its end is a bug
}

// fail reports (index, errno) in one write, atomic on a pipe, and ends the process.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *program) fail(i int32, errno syscall.Errno) {
	rec := [2]uint32{uint32(i) | recordFailure, uint32(errno)}
	if p.report >= 0 {
		syscall.RawSyscall6(unix.SYS_WRITE, uintptr(p.report), uintptr(unsafe.Pointer(&rec)), unsafe.Sizeof(rec), 0, 0, 0)
	}
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, failCode, 0, 0, 0, 0, 0)
	}
}
