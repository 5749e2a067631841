package engine

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/spec"
	"github.com/hull-dev/hull/internal/userdb"
)

// lookUser turns a user and more groups into numbers, by the container's own files.
func lookUser(root *os.File, user string, groups []string) (u spec.User, err error) {
	fd := int(root.Fd())
	found, err := userdb.LookupUserSpec(fd, user)
	if err != nil {
		return u, errdefs.ErrInvalidArgument.WithMessage("unable to find " + err.Error())
	}
	u = spec.User{UID: found.UID, GID: found.GID, Groups: found.Groups}
	for _, g := range groups {
		more, err := userdb.LookupUserSpec(fd, "0:"+g)
		if err != nil {
			return u, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Unable to find group %s: %v", g, err))
		}
		u.Groups = append(u.Groups, more.GID)
	}
	return u, nil
}

// rootOf opens the root directory of a running container's init, as a handle.
func rootOf(pid int) (*os.File, error) {
	path := fmt.Sprintf("/proc/%d/root", pid)
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
