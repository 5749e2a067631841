package sigpipe

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is struct sigaction as rt_sigaction(2) takes it on amd64.
type action struct {
	handler, flags, restorer, mask uint64
}

// Flags of sigaction(2), which x/sys does not have.
const (
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
	saRestorer = 0x04000000
)

func catch(s unix.Signal) error {
	a := action{handler: handlerPC(), flags: saOnStack | saRestart | saRestorer, restorer: restorerPC(), mask: ^uint64(0)}
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// handlerPC and restorerPC are the addresses of the two routines, which are never called from Go.
func handlerPC() uint64
func restorerPC() uint64
