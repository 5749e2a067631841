package volume

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// MountRequest says what a container wants of a volume.
type MountRequest struct {
	Name string
	User string
	// Subpath is a directory or file in the volume, "" for all of it. It must be there.
	Subpath string
	// Image opens the image's files, with the ids that they have on disk, for a volume that
	// is empty and gets what the image has at Destination. nil: nothing is copied.
	Image       func(ctx context.Context) (*os.File, error)
	Destination string
}

// Handle is what a mount can be made of: a descriptor (O_PATH) of the volume's directory, or of what Subpath
// names in it. The caller closes File.
type Handle struct {
	File *os.File
	// Path is the volume's Mountpoint; empty when there was a Subpath: only File is good then.
	Path string
	// Network says that the files are on another machine: they cannot be id-mapped, and may hang.
	Network bool
}

// Mount makes a volume ready for a container that starts, until Unmount. A user may have it more
// than once.
func (s *Store) Mount(ctx context.Context, r MountRequest) (h Handle, err error) {
	v, err := s.find(r.Name)
	if err != nil {
		return h, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.removed {
		return h, noVolume(r.Name)
	}
	if err := v.attach(ctx); err != nil {
		return h, fmt.Errorf("error while mounting volume '%s': %w", v.Mountpoint, err)
	}
	v.mounts[r.User]++
	s.c.At("volume.mounted")
	defer func() {
		if err != nil {
			err = errors.Join(err, v.unmount(r.User))
		}
	}()
	h.Network = len(v.Options) > 0 && parseOptions(v.Options).network()
	if r.Image != nil && !h.Network { // where owners can be set, and files are at hand
		if err := s.fill(ctx, v, r); err != nil {
			return h, fmt.Errorf("copy the image's files at %s into volume %s: %w", r.Destination, v.Name, err)
		}
	}
	fd, err := linux.OpenBeneath(v.dir, dataName, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return h, err
	}
	if r.Subpath == "" {
		h.Path = v.Mountpoint
	} else {
		sub, err := openIn(fd, r.Subpath, unix.O_PATH)
		unix.Close(fd)
		if err != nil {
			return h, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot access path %s/%s: %v", v.Mountpoint, r.Subpath, err))
		}
		fd = sub
	}
	h.File = os.NewFile(uintptr(fd), v.Mountpoint+"/"+r.Subpath)
	s.c.Event("mount", v.Name, map[string]string{"driver": localDriver, "container": r.User, "destination": r.Destination})
	return h, nil
}

// Mounted notes that a container has a volume since before the restart of this program.
func (s *Store) Mounted(name, user string) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mounts[user]++
	return nil
}

// Settle is called when all containers that still run have been told of by Mounted: what was mounted for others
// is detached.
func (s *Store) Settle() {
	s.mu.Lock()
	all := make([]*volume, 0, len(s.volumes))
	for _, v := range s.volumes {
		all = append(all, v)
	}
	s.mu.Unlock()
	for _, v := range all {
		v.mu.Lock()
		if v.attached && len(v.mounts) == 0 && !v.removed {
			if err := linux.Detach(v.dir, dataName); err != nil {
				s.c.Log.Warn("detaching the file system of a volume that nobody has mounted", "volume", v.Name, "error", err)
			} else {
				v.attached = false
			}
		}
		v.mu.Unlock()
	}
}

// Unmount ends one Mount of a user.
func (s *Store) Unmount(name, user string) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mounts[user] == 0 {
		return nil
	}
	err = v.unmount(user)
	s.c.Event("unmount", v.Name, map[string]string{"driver": localDriver, "container": user})
	if err != nil {
		return fmt.Errorf("unmount volume %s: %w", name, err)
	}
	return nil
}

// unmount is Unmount for who has the volume's lock.
func (v *volume) unmount(user string) error {
	if v.mounts[user]--; v.mounts[user] <= 0 {
		delete(v.mounts, user)
	}
	if len(v.mounts) > 0 || !v.attached {
		return nil
	}
	if err := linux.Detach(v.dir, dataName); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	v.attached = false
	return nil
}

// attach mounts what the driver options say on _data, unless that is there.
func (v *volume) attach(ctx context.Context) error {
	if len(v.Options) == 0 || v.attached {
		return nil
	}
	f := parseOptions(v.Options)
	fd, err := f.mount(ctx)
	if err == nil {
		defer unix.Close(fd)
		var point int
		if point, err = linux.OpenBeneath(v.dir, dataName, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			err = linux.MoveMount(fd, point)
			unix.Close(point)
		}
	}
	if err != nil {
		return fmt.Errorf("failed to mount local volume: mount %s:%s, type: %s: %w", f.device, v.Mountpoint, f.kind, err)
	}
	v.attached = true
	return nil
}

// openIn opens name as if dir were the root directory: links lead nowhere else, and those of procfs
// nowhere at all.
func openIn(dir int, name string, flags uint64) (int, error) {
	return linux.Resolve(dir, name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// isMountRoot says whether something is mounted on an open directory's path.
func isMountRoot(dir int) (bool, error) {
	var st unix.Statx_t
	if err := linux.Retry(func() error { return unix.Statx(dir, "", unix.AT_EMPTY_PATH, 0, &st) }); err != nil {
		return false, fmt.Errorf("statx: %w", err)
	}
	return st.Attributes_mask&st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
