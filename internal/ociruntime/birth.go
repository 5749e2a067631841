package ociruntime

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bornInto takes the v2 group out of the files to join by writing, when a process can be born
// there by CLONE_INTO_CGROUP: moving one later waits for an RCU grace period. A threaded group
// (joined by cgroup.threads) does not take newborns from another domain and is written to.
func bornInto(files []string, v2 string) (write []string, birth string) {
	i := slices.Index(files, v2+"/cgroup.procs")
	if v2 == "" || i < 0 {
		return files, ""
	}
	return slices.Delete(slices.Clone(files), i, i+1), v2
}

// openCgroup opens the group that a process is born into; 0 for none.
func openCgroup(dir string, undo *undoList) (int, error) {
	if dir == "" {
		return 0, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open the cgroup %s: %w", dir, err)
	}
	undo.fd(fd)
	return fd, nil
}

// joined is an existing namespace that the container enters.
type joined struct {
	fd   int
	flag uint64
	path string
}

func openNamespaces(list []specs.LinuxNamespace, undo *undoList) ([]joined, error) {
	var out []joined
	for i, n := range list {
		if n.Path == "" {
			continue
		}
		fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("linux.namespaces[%d].path %s: %w", i, n.Path, err)
		}
		undo.fd(fd)
		kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
		if err != nil || uint64(kind) != ocispec.NamespaceFlag(n.Type) {
			return nil, fmt.Errorf("linux.namespaces[%d].path %s is not a %s namespace", i, n.Path, n.Type)
		}
		out = append(out, joined{fd, ocispec.NamespaceFlag(n.Type), n.Path})
	}
	return out, nil
}

// pidNS takes the pid namespace out of those to join: a process is born into it, and enters
// the others itself.
func pidNS(list []joined) (fd int, rest []joined) {
	i := slices.IndexFunc(list, func(n joined) bool { return n.flag == unix.CLONE_NEWPID })
	if i < 0 {
		return 0, list
	}
	return list[i].fd, slices.Delete(slices.Clone(list), i, i+1)
}

// keepsOOMScore tells whether a process with this oomScoreAdj is to have the OOM score that this
// program has.
func keepsOOMScore(adj *int) bool {
	if adj == nil {
		return true
	}
	b, err := ocispec.ReadFile(unix.AT_FDCWD, "/proc/self/oom_score_adj")
	return err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(*adj)
}

// mayShare tells whether a container's first process may use the runtime's memory until execve
// (launch.Clone.Share). Not when
//   - processes exist that see it: another's pid namespace. What traces the child reads the runtime;
//   - it changes its user or time namespace, which the kernel allows to a process with memory of
//     its own alone (setns(2), EUSERS);
//   - it gets another OOM score than the runtime has: the kernel gives it to all who share;
//   - the memory limit is so low that it may be killed for it: the kernel kills all who share.
func mayShare(s *specs.Spec, namespaces uint64) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Path != "" && n.Type == specs.PIDNamespace {
			return false
		}
	}
	if namespaces&unix.CLONE_NEWPID == 0 || namespaces&(unix.CLONE_NEWUSER|unix.CLONE_NEWTIME) != 0 {
		return false
	}
	if !keepsOOMScore(s.Process.OOMScoreAdj) {
		return false
	}
	return roomToShare(s)
}

// roomToShare tells whether the memory limit is far above what a start needs.
func roomToShare(s *specs.Spec) bool {
	const lowLimit = 16 << 20
	r := s.Linux.Resources
	return r == nil || r.Memory == nil || r.Memory.Limit == nil || *r.Memory.Limit < 0 || *r.Memory.Limit >= lowLimit
}

// mayShareExec is [mayShare] for a process that joins a container, in which nobody may have
// CAP_SYS_PTRACE over the initial user namespace (entry.traced). Processes exist that see it,
// but they may not trace it: it is not dumpable. Where fs.suid_dumpable is 1 the switch of the
// user would make it dumpable for the time of one call.
func mayShareExec(c *Container, s *ocispec.Config, pr *specs.Process) bool {
	if c.Namespaces&(unix.CLONE_NEWUSER|unix.CLONE_NEWTIME) != 0 || c.Rootless || c.r.Rootless || !roomToShare(&s.Spec) {
		return false
	}
	if !keepsOOMScore(execOOMScore(pr, s.Process)) {
		return false
	}
	b, err := ocispec.ReadFile(unix.AT_FDCWD, "/proc/sys/fs/suid_dumpable")
	return err == nil && len(b) > 0 && b[0] != '1'
}

// inNamespaces calls f on a thread that has entered the given namespaces. The thread is thrown
// away afterwards.
func inNamespaces(join []joined, f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for _, n := range join {
			if n.flag == unix.CLONE_NEWNS {
				if err = unix.Unshare(unix.CLONE_FS); err != nil {
					return
				}
			}
			if e := unix.Setns(n.fd, int(n.flag)); e != nil {
				err = fmt.Errorf("join the namespace %s: %w", n.path, e)
				return
			}
		}
		err = f()
	}()
	<-done
	return err
}
