package serve

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// childOf is si_pid of waitid(2), 0 when no child has ended. It lies behind three numbers and, on
// 64-bit machines, four bytes of padding (asm-generic/siginfo.h).
func childOf(info *unix.Siginfo) int {
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), 16)))
}
