package archive

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/unpack"
)

// View is a container's files, with all that is mounted in them.
type View struct {
	root *os.File
	ids  *IDs
	ns   *linux.MountNS // that root is in; nil: it is attached nowhere
	// ReadOnly says that the container's root is read-only to it: nothing is copied into it, though this process could.
	ReadOnly bool
}

// IDs maps the container's ids 0 to Size-1 to Host and on.
type IDs struct{ Host, Size uint32 }

// Running opens the files of a running container as its init, pid, sees them. pidfd is init's, so that
// a number which went to another process is noticed. ids is nil for a container with the host's users.
func Running(pidfd, pid int, ids *IDs) (*View, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root of process %d: %w", pid, err)
	}
	root := os.NewFile(uintptr(fd), "root of process "+strconv.Itoa(pid))
	ns, err := linux.OpenMountNS(pid)
	if err != nil {
		root.Close()
		return nil, err
	}
	v := &View{root: root, ids: ids, ns: ns}
	// It was init's if init is alive now.
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
		v.Close()
		return nil, fmt.Errorf("process %d has ended: %w", pid, err)
	}
	return v, nil
}

// Close lets go of the files.
func (v *View) Close() error {
	err := v.root.Close()
	if v.ns != nil {
		err = errors.Join(err, v.ns.Close())
	}
	return err
}

func (v *View) maps() []unpack.IDMap {
	if v.ids == nil {
		return nil
	}
	return []unpack.IDMap{{Container: 0, Host: v.ids.Host, Size: v.ids.Size}}
}

// openIn opens name as if dir were the root directory: links lead nowhere else, and those of procfs
// nowhere at all. The error is the errno alone.
func openIn(dir int, name string, flags uint64) (int, error) {
	return linux.Resolve(dir, name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// Root is a descriptor of the container's root directory, for who looks something up in it. The
// caller closes it.
func (v *View) Root() (*os.File, error) {
	fd, err := unix.FcntlInt(v.root.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), v.root.Name()), nil
}
