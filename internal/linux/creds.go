package linux

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// AsFSUser runs f on a thread of its own whose file system ids (setfsuid(2)) are uid and gid, with
// all capabilities that the process is permitted. The thread ends afterwards. f must not start
// goroutines that count on it.
func AsFSUser(uid, gid int, f func() error) error {
	return onThread(func() error {
		if err := SetFSUser(uid, gid); err != nil {
			return err
		}
		return f()
	})
}

// SetFSUser gives the calling thread the file system ids uid and gid, with all capabilities that it
// has. The caller has locked the thread, and lets it end.
func SetFSUser(uid, gid int) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	// setfsgid(2) and setfsuid(2) report no error: they return the former id, so ask twice.
	_, _ = unix.SetfsgidRetGid(gid)
	if now, _ := unix.SetfsgidRetGid(gid); now != gid {
		return fmt.Errorf("setfsgid %d: %w", gid, unix.EPERM)
	}
	_, _ = unix.SetfsuidRetUid(uid)
	if now, _ := unix.SetfsuidRetUid(uid); now != uid {
		return fmt.Errorf("setfsuid %d: %w", uid, unix.EPERM)
	}
	// Leaving uid 0 took the capabilities about files away (capabilities(7)).
	if err := unix.Capset(&hdr, &caps[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}
