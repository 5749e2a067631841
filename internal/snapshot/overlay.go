package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// overlayDriver keeps a directory for each layer.
type overlayDriver struct {
	s  *Snapshotter
	fs *overlayfs
}

func newOverlay(s *Snapshotter, attach bool) (*overlayDriver, error) {
	fs, err := s.probeOverlayfs(attach)
	if err != nil {
		return nil, err
	}
	return &overlayDriver{s, fs}, nil
}

// probeOverlayfs asks the kernel. Where it wants layers attached, the store moves into a mount
// namespace of its own: its directories are opened anew there, since a mount system call takes
// only what is in the namespace of its thread.
func (s *Snapshotter) probeOverlayfs(attach bool) (fs *overlayfs, err error) {
	private, err := linux.NewMountNS()
	if err != nil {
		return nil, err
	}
	moved := noDirs
	err = private.Do(func() (err error) {
		if err := moved.open(s.root); err != nil {
			return err
		}
		fs, err = moved.probe()
		return err
	})
	if err == nil && (!fs.detached || attach) {
		s.storeDirs.close()
		s.storeDirs = moved
		fs.detached, fs.private = false, private
		return fs, nil
	}
	moved.close()
	private.Close()
	if err != nil {
		return nil, fmt.Errorf("overlayfs: %w", err)
	}
	fs.mnt = s.mntDir
	return fs, nil
}

// probe makes an overlay. It makes nothing else: the store must open on a disk that is full.
func (d *storeDirs) probe() (*overlayfs, error) {
	return newOverlayfs(d.mntDir, d.rootDir, "snapshots", "trash")
}

func (d *overlayDriver) fill(_ context.Context, dir int, snap storage.Snapshot) error {
	return fillUpper(dir, snap, func() (int, error) { return d.fsDir(snap.ParentIDs[0]) })
}

// fillUpper makes the directories of an overlay's upper layer. The upper directory is the root of
// the merged tree, so it gets the attributes of the root below it.
func fillUpper(dir int, snap storage.Snapshot, parentRoot func() (int, error)) error {
	if err := unix.Mkdirat(dir, "fs", 0o755); err != nil {
		return fmt.Errorf("mkdir fs: %w", err)
	}
	fs, err := linux.OpenBeneath(dir, "fs", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.Fchmod(fs, 0o755); err != nil { // whatever the umask is
		return fmt.Errorf("chmod fs: %w", err)
	}
	if snap.Kind == snapshots.KindActive {
		if err := unix.Mkdirat(dir, "work", 0o700); err != nil {
			return fmt.Errorf("mkdir work: %w", err)
		}
	}
	if len(snap.ParentIDs) == 0 {
		return nil
	}
	parent, err := parentRoot()
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := copyRoot(fs, parent); err != nil {
		return fmt.Errorf("give the new root directory the parent's attributes: %w", err)
	}
	return nil
}

// copyRoot gives the directory dst the attributes of src, overlayfs' own excepted.
func copyRoot(dst, src int) error {
	if fd, err := linux.OpenBeneath(src, ".", unix.O_RDONLY|unix.O_DIRECTORY); err == nil { // src may be O_PATH
		defer unix.Close(fd)
		src = fd
	}
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	return copyAttributes(dst, src, &st, func(name string) bool { return !overlayXattr(name) })
}

// overlayXattr says whether an extended attribute is overlayfs' own.
func overlayXattr(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}

func (d *overlayDriver) seal(ctx context.Context, dir int, _ string) (snapshots.Usage, error) {
	return d.usage(ctx, dir)
}

func (d *overlayDriver) settle(dir int) error {
	return errors.Join(d.s.discard(dir, "work"), d.s.discard(dir, volatileBoot))
}

func (d *overlayDriver) usage(ctx context.Context, dir int) (snapshots.Usage, error) {
	return usageOf(ctx, dir, "fs")
}

func (d *overlayDriver) mounts(snap storage.Snapshot, volatile bool) ([]mount.Mount, error) {
	for _, id := range append([]string{snap.ID}, snap.ParentIDs...) {
		fd, err := d.fsDir(id) // a link in its place must not be handed on
		if err != nil {
			return nil, err
		}
		unix.Close(fd)
	}
	lower := make([]string, len(snap.ParentIDs))
	for i, id := range snap.ParentIDs {
		lower[i] = d.s.path(id, "fs")
	}
	return d.fs.describe(d.s, snap, lower, volatile)
}

// describe is an overlay, or the bind mount of a single directory, in containerd's form.
func (o *overlayfs) describe(s *Snapshotter, snap storage.Snapshot, lower []string, volatile bool) ([]mount.Mount, error) {
	switch {
	case len(lower) == 0:
		return bindMount(s.path(snap.ID, "fs"), snap.Kind), nil
	case len(lower) == 1 && snap.Kind == snapshots.KindView:
		return bindMount(lower[0], snap.Kind), nil
	}
	l := layers{upper: -1, volatile: volatile}
	var opts []string
	if snap.Kind == snapshots.KindActive {
		if err := s.prepareVolatile(snap.ID, volatile); err != nil {
			return nil, err
		}
		l.upper = 0
		opts = append(opts, "workdir="+s.path(snap.ID, "work"), "upperdir="+s.path(snap.ID, "fs"))
	}
	opts = append(opts, "lowerdir="+strings.Join(lower, ":"))
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: append(opts, o.options(l)...)}}, nil
}

func (d *overlayDriver) mount(snap storage.Snapshot, volatile bool, o MountOptions) (int, error) {
	return d.fs.mountSnapshot(d.s, snap, volatile, false, o, d.fsDir)
}

// mountSnapshot mounts a snapshot whose layers the function layer opens; attach: they are on
// detached mounts.
func (o *overlayfs) mountSnapshot(s *Snapshotter, snap storage.Snapshot, volatile, attach bool, mo MountOptions, layer func(id string) (int, error)) (int, error) {
	var fds directories
	defer fds.close()
	dir, err := s.dir(snap.ID)
	if err != nil {
		return -1, err
	}
	fds.add(dir)
	if len(snap.ParentIDs) == 0 {
		fs, err := openPath(dir, "fs")
		if err != nil {
			return -1, err
		}
		return bindTree(fds.add(fs), snap.Kind, mo)
	}
	if len(snap.ParentIDs) == 1 && snap.Kind == snapshots.KindView {
		fd, err := layer(snap.ParentIDs[0])
		if err != nil {
			return -1, err
		}
		return bindTree(fds.add(fd), snap.Kind, mo)
	}
	st := stack{parents: snap.ParentIDs, layer: layer, attach: attach, dir: -1, volatile: volatile}
	if snap.Kind == snapshots.KindActive {
		if err := s.prepareVolatile(snap.ID, volatile); err != nil {
			return -1, err
		}
		st.dir, st.upper = dir, "fs"
	}
	return o.mountStack(st, mo)
}

// stack is what an overlay is made of.
type stack struct {
	parents []string                     // ids of the lower layers, topmost first
	layer   func(id string) (int, error) // opens one
	attach  bool                         // they are on detached mounts
	// dir holds the upper directory, of the name upper, and "work"; -1: the mount is read-only.
	dir      int
	upper    string
	volatile bool
}

// mountStack makes a detached overlay mount.
func (o *overlayfs) mountStack(st stack, mo MountOptions) (int, error) {
	var fds directories
	defer fds.close()
	l := layers{upper: -1, work: -1, attach: st.attach, volatile: st.volatile, mapped: mo.UserNS != nil}
	for _, id := range st.parents {
		fd, err := st.layer(id)
		if err != nil {
			return -1, err
		}
		fds.add(fd)
		if mo.UserNS != nil {
			if fd, err = cloneLayer(fd, true, mo.userNS()); err != nil {
				return -1, fmt.Errorf("map the ids of layer %s: %w", id, err)
			}
			fds.add(fd)
			l.attach = true
		}
		l.lower = append(l.lower, fd)
	}
	if st.dir >= 0 {
		upper := st.dir
		if mo.UserNS != nil {
			mapped, leave, err := o.mapUpper(st.dir, mo.userNS())
			if err != nil {
				return -1, err
			}
			defer leave()
			upper = fds.add(mapped)
		}
		var err error
		if l.upper, err = openPath(upper, st.upper); err != nil {
			return -1, err
		}
		fds.add(l.upper)
		if l.work, err = openPath(upper, "work"); err != nil {
			return -1, err
		}
		fds.add(l.work)
	}
	fd, err := o.mount(l)
	if err != nil || !mo.ReadOnly {
		return fd, err
	}
	if err := linux.SetAttr(fd, linux.Attr{Set: unix.MOUNT_ATTR_RDONLY, UserNS: -1}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// mapUpper makes an id-mapped mount of the directory that holds the upper directory and the work
// directory: overlayfs wants both on one mount. leave is called when the overlay has been mounted.
func (o *overlayfs) mapUpper(dir, userNS int) (upper int, leave func(), err error) {
	upper, err = cloneLayer(dir, false, userNS)
	if err != nil {
		return -1, nil, fmt.Errorf("map the ids of the upper directory: %w", err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(upper, &st); err == nil && (st.Uid == overflowID || st.Gid == overflowID) {
		err = errors.New("the user namespace does not map root, who owns overlayfs' work directory")
	}
	if err != nil || o.detached {
		if err != nil {
			unix.Close(upper)
		}
		return upper, func() {}, err
	}
	name, point, err := o.point()
	if err == nil {
		err = linux.MoveMount(upper, point)
		unix.Close(point)
	}
	unix.Close(upper)
	if err == nil {
		upper, err = openPath(o.mnt, name)
	}
	if err != nil {
		if name != "" {
			o.unpoint(name)
		}
		return -1, nil, err
	}
	return upper, func() { o.unpoint(name) }, nil
}

// overflowID stands for an id that has no mapping (/proc/sys/kernel/overflowuid, by default).
const overflowID = 65534

func (d *overlayDriver) layer(id string, _ snapshots.Kind) (int, error) { return d.fsDir(id) }

// fsDir opens a layer's directory.
func (d *overlayDriver) fsDir(id string) (int, error) {
	return linux.OpenBeneath(d.s.snapsDir, id+"/fs", unix.O_RDONLY|unix.O_DIRECTORY)
}

func (d *overlayDriver) verify(dir int, kind snapshots.Kind) error {
	return verifyDirs(dir, "fs", map[snapshots.Kind]string{snapshots.KindActive: "work"}[kind])
}

// verifyDirs says which of the directories is not there.
func verifyDirs(dir int, names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		fd, err := openPath(dir, name)
		if err != nil {
			return err
		}
		unix.Close(fd)
	}
	return nil
}

func (d *overlayDriver) needs(kind snapshots.Kind) []string {
	if kind == snapshots.KindActive {
		return []string{"fs", "work", volatileBoot}
	}
	return []string{"fs"}
}

func (d *overlayDriver) forget(string) {}
func (d *overlayDriver) close() error  { return d.fs.close() }

func (d *overlayDriver) inside(f func() error) error { return d.fs.inside(f) }

// volatileBoot in a snapshot's directory holds the boot in which it was mounted volatile.
const volatileBoot = "volatile"

// prepareVolatile makes a volatile snapshot ready to be mounted. overlayfs marks the work
// directory of a volatile mount and refuses it ever after, as it cannot know whether the host went
// down in between. We can: by the boot's id.
func (s *Snapshotter) prepareVolatile(id string, volatile bool) error {
	if !volatile {
		return nil
	}
	dir, err := s.dir(id)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	marked, err := claimVolatile(dir)
	if err != nil || !marked {
		return err
	}
	if err := s.discard(dir, "work"); err != nil {
		return err
	}
	return unix.Mkdirat(dir, "work", 0o700)
}

// claimVolatile notes this boot in the directory that holds the work directory of a volatile
// overlay, or compares. marked: overlayfs has marked the work directory in this boot.
func claimVolatile(dir int) (marked bool, err error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return false, err
	}
	switch before, err := readSmall(dir, volatileBoot); {
	case errors.Is(err, unix.ENOENT):
		fd, err := linux.CreateBeneath(dir, volatileBoot, unix.O_WRONLY|unix.O_EXCL, 0o600)
		if err != nil {
			return false, err
		}
		_, err = unix.Write(fd, boot)
		unix.Close(fd)
		return false, err
	case err != nil:
		return false, err
	case before != string(boot):
		return false, errors.New("it is volatile and the host was restarted since: what was written may be lost; remove it")
	}
	mark, err := openPath(dir, volatileMark)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	unix.Close(mark)
	return true, nil
}

// volatileMark is what overlayfs makes below the work directory of a volatile mount.
const volatileMark = "work/work/incompat/volatile"
