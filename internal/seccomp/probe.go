package seccomp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// SupportedFlags returns those of [KnownFlags] that this kernel knows. It installs nothing: with a null program
// seccomp(2) checks the flags first (EINVAL: unknown) and then fails to read the program (EFAULT: known).
func SupportedFlags() []string {
	var names []string
	for _, f := range flags {
		bits := f.bit
		if bits == flagWait {
			bits |= flagNotify // the kernel refuses the one without the other
		}
		if knowsFlags(bits) {
			names = append(names, f.name)
		}
	}
	return names
}

// SupportedActions returns those of [KnownActions] that this kernel knows, by SECCOMP_GET_ACTION_AVAIL.
func SupportedActions() []string {
	var names []string
	for _, a := range actions {
		ret := a.ret
		_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&ret)))
		if errno == 0 {
			names = append(names, a.name)
		}
	}
	return names
}

func knowsFlags(bits uint32) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(bits), 0)
	return errno == unix.EFAULT
}
