package linux

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// MountNS is a mount namespace that only threads which enter it see. It lives by its descriptor:
// when the process is gone, however it ended, so are the mounts in it. It begins as a copy of the
// caller's namespace and gets what is mounted and unmounted there later (propagation is slave, not
// back).
type MountNS struct{ fd int }

// NewMountNS makes one, on a thread that ends with it.
func NewMountNS() (*MountNS, error) {
	ns := &MountNS{fd: -1}
	err := onThread(func() error {
		// CLONE_NEWNS implies CLONE_FS: the thread's root and directory are no longer the others'.
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("unshare mount namespace", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return os.NewSyscallError("make mounts slaves", err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: "/proc/thread-self/ns/mnt", Err: err}
		}
		ns.fd = fd
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ns, nil
}

// OpenMountNS is the mount namespace of another process.
func OpenMountNS(pid int) (*MountNS, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/ns/mnt"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &MountNS{fd: fd}, nil
}

// Do runs f on a thread in the namespace, which ends afterwards. A descriptor that f opens by path
// is of the namespace's mounts; mount system calls take it in there only. f must not start
// goroutines that count on it.
func (ns *MountNS) Do(f func() error) error {
	return onThread(func() error {
		if err := ns.Enter(); err != nil {
			return err
		}
		return f()
	})
}

// Enter moves the calling thread, which must be locked and never go back to others, in.
func (ns *MountNS) Enter() error {
	// setns(2) refuses a thread that shares its root directory with others.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare root directory", err)
	}
	if err := unix.Setns(ns.fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns mount namespace: %w", err)
	}
	return nil
}

// Close lets go of the namespace.
func (ns *MountNS) Close() error { return unix.Close(ns.fd) }

// onThread runs f on a thread of its own that ends afterwards. It is never the main thread, which
// cannot end: /proc/self shows that one's namespaces and ids as the process's.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// While this goroutine holds the main thread, another one runs elsewhere.
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		// Not unlocked: the runtime ends the thread with the goroutine.
		done <- f()
	}()
	return <-done
}
