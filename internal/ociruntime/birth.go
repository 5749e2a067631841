package ociruntime

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/hull-dev/hull/internal/launch"
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

// joined is a namespace to enter on the cloning thread.
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
		if n.Type == specs.UserNamespace {
			return nil, fmt.Errorf("linux.namespaces[%d].path: joining a user namespace by path is not supported yet", i)
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

// startJoined starts the plan from a thread that has entered the given namespaces. The
// thread is thrown away afterwards.
func startJoined(p *launch.Plan, c launch.Clone, join []joined) (child *launch.Child, err error) {
	if len(join) == 0 {
		return p.Start(c)
	}
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
		child, err = p.Start(c)
	}()
	<-done
	return child, err
}
