package unpack

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onOwnThread runs f on a thread that ends with it: the goroutine is locked to the thread and
// ends without unlocking it (runtime.LockOSThread).
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread cannot end, and /proc/PID shows its umask and directory.
			done <- onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// cage turns the calling thread into the one that makes files. umaskFree says that new files get exactly the
// mode they are made with, caged that Landlock is on.
func cage(root *os.File, lowers []*os.File) (umaskFree, caged bool, err error) {
	// The umask is shared by all threads until this one has its own (CLONE_FS).
	if unix.Unshare(unix.CLONE_FS) == nil {
		unix.Umask(0)
		umaskFree = true
	}
	caged, err = landlock(root, lowers)
	return umaskFree, caged, err
}

// landlock keeps the calling thread to the directory root, and to reading lowers. It is false
// where the kernel has no Landlock (before 5.19 it could not link between directories)
// or another program's filter forbids it.
//
// Signals are left alone: before 6.15 LANDLOCK_SCOPE_SIGNAL kept a thread from signalling
// those of its own process, which Go's scheduler does.
func landlock(root *os.File, lowers []*os.File) (bool, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || abi < 2 {
		return false, nil
	}
	const (
		read  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
		write = read | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
			unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
			unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
			unix.LANDLOCK_ACCESS_FS_REFER
	)
	all := uint64(write | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK)
	allowed := uint64(write)
	if abi >= 3 {
		all |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
		allowed |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: all}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.Handled_access_net)
	}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return false, fmt.Errorf("making the extractor's Landlock rules: %w", errno)
	}
	defer unix.Close(int(rules))
	add := func(f *os.File, access uint64) error {
		rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(f.Fd())}
		_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
		runtime.KeepAlive(f)
		if errno != 0 {
			return fmt.Errorf("letting the extractor into %s with Landlock: %w", f.Name(), errno)
		}
		return nil
	}
	if err := add(root, allowed); err != nil {
		return false, err
	}
	for _, l := range lowers {
		if err := add(l, read); err != nil {
			return false, err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno == unix.EPERM {
		// Without CAP_SYS_ADMIN the thread must first give up gaining privileges by execve,
		// which it does not call.
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return false, fmt.Errorf("setting no_new_privs on the extractor's thread: %w", err)
		}
		_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
		if errno != 0 {
			return false, fmt.Errorf("putting the extractor under Landlock: %w", errno)
		}
	} else if errno != 0 {
		return false, fmt.Errorf("putting the extractor under Landlock: %w", errno)
	}
	return true, nil
}
