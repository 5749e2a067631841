// Package seccomp compiles the linux.seccomp section of an OCI configuration into a classic BPF program for
// seccomp(2), in Go alone.
//
// # Terms
//
//   - profile: the section as the engine wrote it (specs.LinuxSeccomp).
//   - ABI: one way to make system calls: a table of numbers, an AUDIT_ARCH_* value and the width of an argument.
//     amd64 has three (x86_64, x86, x32), arm64 two (aarch64, arm).
//   - verdict: what the program returns for one system call: a SECCOMP_RET_* value with its data.
//   - rule: conditions on arguments, all of which must hold, and an action. No conditions: always.
//   - piece: a range of numbers with one verdict. The program is a search over pieces.
//
// # Life cycle
//
// [Compile] is pure: it reads no file, asks the kernel nothing and gives the same program for the same profile and
// ABI. So the engine compiles once per (profile, capabilities, architecture), keeps [Program.AppendBinary] under the
// digest of its input, and the start path reads it back by [ParseBinary] and makes one system call:
//
//	p, err := seccomp.Compile(spec.Linux.Seccomp, seccomp.Options{})
//	if err != nil {
//		return err // one sentence, starting with the field: linux.seccomp.syscalls[3].action: ...
//	}
//	if p != nil { // nil: the section is absent or empty
//		fprog := unix.SockFprog{Len: uint16(len(p.Filter)), Filter: &p.Filter[0]}
//		fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
//			uintptr(p.Flags), uintptr(unsafe.Pointer(&fprog))) // fd: the listener, if p.Notify
//	}
//
// # Semantics
//
// Those of runc 1.3 with libseccomp 2.5, compared by running both programs side by side over every call number, every
// condition and 20,000 random profiles (differential_test.go, random_test.go), and runc itself (runc_root_test.go):
//
//   - The native ABI is always in the filter. A call through an ABI that is not in it kills the thread.
//   - A rule whose action equals the default action is dropped. Names that no ABI has are dropped with a warning.
//   - Several rules for one call are alternatives. The first rule without conditions beats all others; without one,
//     the rules are tried in libseccomp's order (order.go), the first that matches decides, else the default.
//   - A profile that gives one call two different actions under the same conditions is an error.
//   - Conditions on the same argument in one rule are split into one rule each: they are ORed, not ANDed. This is
//     what runc does; a warning says so.
//   - Comparisons are unsigned. On 64-bit ABIs they cover 64 bits; on x86, x32 and arm the low 32 bits only, of the
//     argument as of the value.
//   - On x86 a rule for a socket or System V IPC call holds for the direct call and for socketcall(2) or ipc(2). In
//     the latter the condition on argument 0 is replaced by the call's selector, as BPF cannot follow the pointer: a
//     warning says that the condition does not reach there.
//   - runc's ENOSYS stub: unless the default action is ALLOW, LOG or TRACE, numbers above the largest that the
//     profile names on that ABI fail with ENOSYS, whatever the default, so that a libc falls back to an older call
//     in place of giving up. As in runc, there is no stub on an ABI where the profile names no call, or only call 0,
//     and on x86 the multiplexed names do not count.
//   - flags absent (nil, not empty) means SECCOMP_FILTER_FLAG_SPEC_ALLOW, since runc 1.2.
//
// # Where it differs
//
//   - Newer tables: names up to Linux 6.18 and a little beyond; libseccomp 2.5.4 stops at 5.17.
//   - ABIs without a table (MIPS, PowerPC, ...) are accepted and ignored with a warning: no process on this machine
//     can use them. libseccomp generates code for those of the same byte order and refuses the others.
//   - errnoRet with an action that has no errno is an error, as the runtime-spec demands and crun does; runc ignores it.
//     errnoRet above 4095 (for TRACE: 65535) is an error; runc cuts it to 16 bits.
//   - SCMP_ACT_NOTIFY may be the default action, or that of write(2): package ociruntime hands the listener over without
//     a system call of the filtered process. runc refuses both.
//   - SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is supported; runc 1.3 does not know it.
//   - libseccomp 2.5.4 makes programs that are wrong where several rules for one call look at more than one 32-bit word,
//     and some that never load the call number (model_test.go, suspect); on a few profiles it does not come to an end.
//     Here the rules mean what they say.
//   - Where such rules have different actions and overlap, order.go decides always; libseccomp's own order there
//     sometimes depends on the order in the profile. It also misses some contradictions between them that are an error
//     here, and finds some (a special rule before a general one on another argument) that are none.
//
// README.md draws the program and says why there is an own compiler.
package seccomp

//go:generate go run ./gen
