// Package seal keeps a container from writing to the runtime's own program through
// /proc/PID/exe (CVE-2019-5736). The program runs from a detached, read-only clone of the
// mount that its file is on, so every path to it from inside a container is read-only.
//
// On amd64 the ELF entry point is [entry] (linker flag -E, see the Makefile): some thirty
// instructions before the Go runtime starts that make the clone and execveat(2) it. That
// costs 0.2 ms; the same from Go's main costs 0.9 ms, because the Go runtime starts twice.
//
//	kernel ── execve keel ──► entry: is /proc/self/exe on a read-only mount?
//	                            ├─ yes ► Go runtime ► main
//	                            └─ no  ► open_tree(CLONE) ► mount_setattr(RDONLY) ► execveat ─► entry again: yes
//
// A program that was linked without the entry point, or on another architecture, is sealed
// by [Ensure], the same steps in Go, or a sealed copy in memory where mounts cannot be cloned.
// On arm64 the entry point only notes what the Go runtime is about to change: see [OpenFiles].
package seal

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ensure returns at once when the running program cannot be written through its
// /proc/PID/exe. Otherwise it executes a sealed one in this process's place.
func Ensure() error {
	fd, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the runtime's own program: %w", err)
	}
	defer unix.Close(fd)
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		return nil
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("open the runtime's own program: %w", err)
	}
	defer self.Close()
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if got, err := unix.FcntlInt(self.Fd(), unix.F_GET_SEALS, 0); err == nil && got&seals == seals {
		return nil
	}
	sealed, err := clone(fd)
	if err != nil {
		if sealed, err = copyToMemory(self, seals); err != nil {
			return fmt.Errorf("make a sealed copy of the runtime's own program: %w", err)
		}
	}
	return execFD(sealed)
}

func clone(fd int) (int, error) {
	t, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, err
	}
	if err := unix.MountSetattr(t, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		unix.Close(t)
		return -1, err
	}
	return t, nil
}

func copyToMemory(self *os.File, seals int) (int, error) {
	fd, err := unix.MemfdCreate("keel", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	m := os.NewFile(uintptr(fd), "keel")
	if _, err := io.Copy(m, self); err != nil {
		return -1, err
	}
	_, err = unix.FcntlInt(m.Fd(), unix.F_ADD_SEALS, seals)
	return fd, err
}

func execFD(fd int) error {
	path := []byte{0}
	vector := func(list []string) []*byte {
		v := make([]*byte, 0, len(list)+1)
		for _, s := range list {
			p, err := unix.BytePtrFromString(s)
			if err == nil {
				v = append(v, p)
			}
		}
		return append(v, nil)
	}
	argv, env := vector(os.Args), vector(os.Environ())
	if openFiles[0] != 0 { // for the next entry to find
		unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: openFiles[0], Max: openFiles[1]}, nil)
	}
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	return fmt.Errorf("execute the sealed runtime: %w", errno)
}
