package engine

import (
	"os"

	"golang.org/x/sys/unix"
)

// idMappable says whether a file or directory, with all that is mounted below it, can be shown
// through a user namespace's mapping. It tries, on a mount that is attached nowhere: which file
// systems can changes from kernel to kernel.
func idMappable(source string, users *os.File) bool {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr) == nil
}
