package spec

import (
	"errors"
	"runtime"
	"slices"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccomp sets the filter. Rules of a profile depend on the container's capabilities.
func (b *builder) seccomp() error {
	var err error
	l, want := b.spec.Linux, b.security.Seccomp
	switch {
	case want == "unconfined", b.Host.Privileged && want == "":
		return nil
	case !b.Facts.Seccomp:
		if want != "" && want != "builtin" {
			return invalid("seccomp is not enabled in your kernel, cannot run a custom seccomp profile")
		}
		b.warn("seccomp is not enabled in your kernel, running container without default profile")
		return nil
	}
	kind, load := "default", func() (*specs.LinuxSeccomp, error) { return defaultSeccomp(b.spec) }
	switch {
	case want != "" && want != "builtin":
		kind, load = "own "+want, func() (*specs.LinuxSeccomp, error) {
			s, err := moby.LoadProfile(want, b.spec)
			if err != nil {
				return nil, invalid(err.Error())
			}
			return s, nil
		}
	case b.profile.dockerSeccomp:
		kind, load = "compat", func() (*specs.LinuxSeccomp, error) { return moby.GetDefaultProfile(b.spec) }
	}
	l.Seccomp, err = kept.get(profileKey(kind, b.spec.Process.Capabilities.Bounding), load)
	return err
}

// defaultSeccomp is moby's profile with less in it (SECURITY.md R20):
//
//   - socketcall(2) is gone. On x86 it is a second way to socket(2), whose arguments no filter can
//     see: AF_ALG and AF_VSOCK would be open to 32-bit programs. They have socket(2) since Linux 4.3,
//     and turn to it when the other one is ENOSYS.
//   - A netlink socket of the audit family is EINVAL without CAP_AUDIT_WRITE: PAM takes that for a
//     kernel without auditing and goes on (Podman's profile has the same rule).
//
// Denied by both: io_uring, userfaultfd, keys, bpf, perf, kexec, AF_ALG, AF_VSOCK, and without
// CAP_SYS_ADMIN namespaces and mounts, with EPERM. Calls that are newer than the profile fail with
// ENOSYS, which the runtime sees to (package seccomp, Semantics).
func defaultSeccomp(s *specs.Spec) (*specs.LinuxSeccomp, error) {
	p, err := moby.GetDefaultProfile(s)
	if err != nil {
		return nil, err
	}
	nosys, inval := uint(unix.ENOSYS), uint(unix.EINVAL)
	audit := slices.Contains(s.Process.Capabilities.Bounding, "CAP_AUDIT_WRITE")
	var out []specs.LinuxSyscall
	netlink := false
	for _, r := range p.Syscalls {
		for _, name := range leftOut() {
			if i := slices.Index(r.Names, name); i >= 0 {
				r.Names = slices.Delete(slices.Clone(r.Names), i, i+1)
			}
		}
		if !audit && slices.Contains(r.Names, "socket") && allowsNetlink(r) {
			netlink = true
			family := specs.LinuxSeccompArg{Index: 0, Value: unix.AF_NETLINK, Op: specs.OpEqualTo}
			protocol := specs.LinuxSeccompArg{Index: 2, Value: unix.NETLINK_AUDIT, Op: specs.OpNotEqual}
			out = append(out, specs.LinuxSyscall{Names: r.Names, Action: r.Action, Args: []specs.LinuxSeccompArg{family, protocol}})
			protocol.Op = specs.OpEqualTo
			r = specs.LinuxSyscall{Names: r.Names, Action: specs.ActErrno, ErrnoRet: &inval, Args: []specs.LinuxSeccompArg{family, protocol}}
		}
		out = append(out, r)
	}
	if !audit && !netlink {
		return nil, errors.New("the seccomp profile has no rule for netlink sockets where one was")
	}
	p.Syscalls = append(out, specs.LinuxSyscall{Names: []string{"socketcall"}, Action: specs.ActErrno, ErrnoRet: &nosys})
	return p, nil
}

// leftOut are names of moby's profile that are not in ours: the second way to sockets, and a call of
// an architecture that is not this one, which the runtime would warn of.
func leftOut() []string {
	if runtime.GOARCH == "riscv64" {
		return []string{"socketcall"}
	}
	return []string{"socketcall", "riscv_hwprobe"}
}

// allowsNetlink says whether a rule of socket(2) is the one for AF_NETLINK.
func allowsNetlink(r specs.LinuxSyscall) bool {
	return r.Action == specs.ActAllow && len(r.Args) == 1 && r.Args[0].Index == 0 && r.Args[0].Op == specs.OpEqualTo && r.Args[0].Value == unix.AF_NETLINK
}
