package build

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/executor"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// pointsOf are the paths in an instruction's root where a mount may make an empty file or directory.
func pointsOf(mounts []executor.Mount) []string {
	out := []string{"etc/resolv.conf", "etc/hosts"}
	for _, m := range mounts {
		if p := strings.TrimPrefix(path.Clean("/"+m.Dest), "/"); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// stub is a path that was not there before the instruction ran.
type stub struct {
	parent, name string
}

// findStubs finds which mount points are not there yet. What it returns removes them after the
// instruction, if they are empty still. Names are looked up again then, from the root's handle and
// nowhere out of it, since the instruction may have changed what they lead to (CVE-2024-23652).
func findStubs(root *os.File, points []string, parents bool) (func() error, error) {
	var found []stub
	seen := make(map[string]bool)
	for _, p := range points {
		for ; p != "." && p != "/" && p != "" && !seen[p]; p = path.Dir(p) {
			f, err := openIn(root, p, 0)
			if err == nil {
				f.Close()
				break
			}
			if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
				break
			}
			seen[p] = true
			found = append(found, stub{path.Dir(p), path.Base(p)})
			if !parents {
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b stub) int { // what is deeper first
		return strings.Count(b.parent, "/") - strings.Count(a.parent, "/")
	})
	return func() error {
		for _, s := range found {
			if err := s.remove(root); err != nil {
				return fmt.Errorf("removing the mount point /%s/%s of an instruction: %w", s.parent, s.name, err)
			}
		}
		return nil
	}, nil
}

func openIn(root *os.File, name string, flags uint64) (*os.File, error) {
	fd, err := linux.Openat2(int(root.Fd()), name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// remove removes the stub if it is empty. The times of its directory stay as they were, so that the
// layer is the same as without.
func (s stub) remove(root *os.File) error {
	dir, err := openIn(root, s.parent, unix.O_DIRECTORY)
	if err != nil {
		return nil // it went with its directory
	}
	defer dir.Close()
	var st, parent unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), s.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil
	}
	if err := unix.Fstat(int(dir.Fd()), &parent); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	flags := 0
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		flags = unix.AT_REMOVEDIR
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != 0:
		return nil
	}
	err = unix.Unlinkat(int(dir.Fd()), s.name, flags)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("unlinkat", err)
	}
	times := []unix.Timespec{parent.Atim, parent.Mtim}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, linux.FDPath(int(dir.Fd())), times, 0))
}
