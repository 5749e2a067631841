package archive

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Mount is a volume or a bind of a stopped container.
type Mount struct {
	Source      *os.File // directory or file; O_PATH will do
	Destination string   // absolute in the container
	ReadOnly    bool
}

// Stopped shows the files of a container that is not running: root, a mount that is attached
// nowhere, with mounts on it, in their order. It takes root over: Close closes it. A mount point that is not there is made, as
// at the container's next start.
//
// The mounts are in a mount namespace that nobody is in, which ends with the View: whatever happens
// to this process, none is left.
func Stopped(root *os.File, mounts []Mount) (*View, error) {
	v := &View{root: root}
	if len(mounts) == 0 {
		return v, nil
	}
	if err := v.assemble(mounts); err != nil {
		v.Close()
		return nil, fmt.Errorf("mount a stopped container's volumes: %w", err)
	}
	return v, nil
}

func (v *View) assemble(mounts []Mount) error {
	// A mount can only be cloned in the namespace that it is in, so the clones come first.
	trees := make([]int, 0, len(mounts))
	defer func() {
		for _, fd := range trees {
			unix.Close(fd)
		}
	}()
	for _, m := range mounts {
		fd, err := cloneMount(m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Destination, err)
		}
		trees = append(trees, fd)
	}
	var err error
	if v.ns, err = linux.NewMountNS(); err != nil {
		return err
	}
	return v.ns.Do(func() error {
		top, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(top)
		if err := linux.MoveMount(int(v.root.Fd()), top); err != nil {
			return fmt.Errorf("attach the root: %w", err)
		}
		for i, m := range mounts {
			if err := v.put(trees[i], m); err != nil {
				return fmt.Errorf("%s: %w", m.Destination, err)
			}
		}
		return nil
	})
}

// cloneMount makes a detached mount of a source.
func cloneMount(m Mount) (int, error) {
	fd, err := unix.OpenTree(int(m.Source.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("open_tree", err)
	}
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if m.ReadOnly {
		attr.Attr_set = unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("mount_setattr", err)
	}
	return fd, nil
}

// put attaches a mount at its destination.
func (v *View) put(tree int, m Mount) error {
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return err
	}
	point, err := v.mountPoint(m.Destination, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return fmt.Errorf("find the mount point: %w", err)
	}
	defer unix.Close(point)
	return linux.MoveMount(tree, point)
}

// mountPoint opens a mount point, and makes what is missing on the way, each directory by the
// descriptor of the one before.
func (v *View) mountPoint(dest string, dir bool) (int, error) {
	at := int(v.root.Fd())
	rest := strings.Split(strings.Trim(path.Clean(dest), "/"), "/")
	prefix := ""
	for i, name := range rest {
		if name == "" || name == ".." {
			return -1, errors.New("the path is not clean")
		}
		prefix += "/" + name
		last := i == len(rest)-1
		fd, err := openIn(int(v.root.Fd()), prefix, unix.O_PATH)
		if errors.Is(err, unix.ENOENT) {
			if last && !dir {
				err = unix.Mknodat(at, name, unix.S_IFREG|0o644, 0)
			} else {
				err = unix.Mkdirat(at, name, 0o755)
			}
			if err == nil {
				fd, err = linux.OpenBeneath(at, name, unix.O_PATH)
			}
		}
		if at != int(v.root.Fd()) {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}
