package snapshot

import (
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// bindMount describes a bind mount of a directory of the store.
func bindMount(path string, kind snapshots.Kind) []mount.Mount {
	access := "rw"
	if kind == snapshots.KindView {
		access = "ro"
	}
	return []mount.Mount{{Type: "bind", Source: path, Options: []string{access, "rbind"}}}
}

// bindTree is the same by descriptor, detached.
func bindTree(dir int, kind snapshots.Kind, o MountOptions) (int, error) {
	return cloneLayer(dir, kind == snapshots.KindView || o.ReadOnly, o.userNS())
}

// cloneLayer makes a detached mount of a directory, read-only or id-mapped.
func cloneLayer(dir int, readOnly bool, userNS int) (int, error) {
	fd, err := linux.CloneTree(dir)
	if err != nil {
		return -1, err
	}
	a := linux.Attr{UserNS: userNS, Propagation: unix.MS_PRIVATE}
	if readOnly {
		a.Set = unix.MOUNT_ATTR_RDONLY
	}
	if err := linux.SetAttr(fd, a); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// directories are descriptors that are closed together.
type directories []int

func (d *directories) add(fd int) int {
	*d = append(*d, fd)
	return fd
}

func (d *directories) close() {
	for _, fd := range *d {
		unix.Close(fd)
	}
	*d = nil
}

// openPath opens a directory of a snapshot as a handle.
func openPath(dir int, name string) (int, error) {
	return linux.OpenBeneath(dir, name, unix.O_PATH|unix.O_DIRECTORY)
}
