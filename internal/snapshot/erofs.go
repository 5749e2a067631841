package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
	"github.com/hull-dev/hull/internal/linux"
)

const (
	imageFile = "layer.erofs"
	// directFile is a finished image that was written in place of files (NewImage).
	directFile = "layer.direct"
	// imageTemp is an image being written.
	imageTemp = "layer.tmp"
	// maxMounted bounds the layers that are kept mounted for the next container.
	maxMounted = 512
)

// erofsDriver keeps an image for each committed layer. A layer is mounted once and stays mounted,
// attached nowhere: all containers on it share one superblock and with it the page cache.
type erofsDriver struct {
	s  *Snapshotter
	fs *overlayfs

	mu      sync.Mutex
	mounted map[string]int // id → detached mount
	named   map[string]int // id → root of it, that Mounts told others by its number
}

func newErofs(s *Snapshotter, attach bool) (*erofsDriver, error) {
	fs, err := s.probeOverlayfs(attach)
	if err != nil {
		return nil, err
	}
	return &erofsDriver{s: s, fs: fs, mounted: make(map[string]int), named: make(map[string]int)}, nil
}

func (d *erofsDriver) fill(_ context.Context, dir int, snap storage.Snapshot) error {
	return fillUpper(dir, snap, func() (int, error) { return d.lower(snap.ParentIDs[0]) })
}

// seal turns the files of the upper directory into an image.
func (d *erofsDriver) seal(ctx context.Context, dir int, name string) (snapshots.Usage, error) {
	err := unix.Unlinkat(dir, imageFile, 0) // of a commit that failed
	if err != nil && err != unix.ENOENT {
		return snapshots.Usage{}, fmt.Errorf("delete an older %s: %w", imageFile, err)
	}
	if err := unix.Linkat(dir, directFile, dir, imageFile, 0); err == unix.ENOENT {
		if err := d.build(ctx, dir, name); err != nil {
			return snapshots.Usage{}, fmt.Errorf("write the layer's image: %w", err)
		}
	} else if err != nil {
		return snapshots.Usage{}, fmt.Errorf("link %s: %w", directFile, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, imageFile, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return snapshots.Usage{}, err
	}
	return snapshots.Usage{Inodes: 1, Size: st.Blocks * 512}, nil
}

func (d *erofsDriver) build(ctx context.Context, dir int, name string) error {
	fd, err := linux.CreateBeneath(dir, imageTemp, unix.O_RDWR|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), imageTemp)
	defer f.Close()
	root, err := openPath(dir, "fs")
	if err != nil {
		return err
	}
	defer unix.Close(root)
	w := erofs.NewWriter(f, erofs.Options{UUID: imageID(name)})
	v := &imageVisitor{w: w, links: make(map[uint64]*erofs.Node), userXattr: d.fs.userXattr}
	if err := v.root(root); err != nil {
		return err
	}
	if err := walkTree(ctx, root, false, v); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	d.s.at("commit.written")
	return unix.Renameat(dir, imageTemp, dir, imageFile)
}

// settle deletes the files that are in the image.
func (d *erofsDriver) settle(dir int) error {
	var errs []error
	for _, name := range []string{"work", "fs", directFile, imageTemp, volatileBoot} {
		errs = append(errs, d.s.discard(dir, name))
	}
	return errors.Join(errs...)
}

func (d *erofsDriver) usage(ctx context.Context, dir int) (snapshots.Usage, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, directFile, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return snapshots.Usage{Inodes: 1, Size: st.Blocks * 512}, nil
	}
	return usageOf(ctx, dir, "fs")
}

func (d *erofsDriver) mounts(snap storage.Snapshot, volatile bool) ([]mount.Mount, error) {
	lower := make([]string, len(snap.ParentIDs))
	for i, id := range snap.ParentIDs {
		path, err := d.name(id)
		if err != nil {
			return nil, err
		}
		lower[i] = path
	}
	return d.fs.describe(d.s, snap, lower, volatile)
}

func (d *erofsDriver) mount(snap storage.Snapshot, volatile bool, o MountOptions) (int, error) {
	return d.fs.mountSnapshot(d.s, snap, volatile, true, o, d.lower)
}

func (d *erofsDriver) layer(id string, kind snapshots.Kind) (int, error) {
	if kind == snapshots.KindCommitted {
		return d.lower(id)
	}
	return linux.OpenBeneath(d.s.snapsDir, id+"/fs", unix.O_RDONLY|unix.O_DIRECTORY)
}

// lower is the root of a committed layer, for the caller to close.
func (d *erofsDriver) lower(id string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fd, ok := d.mounted[id]
	if !ok {
		if len(d.mounted) >= maxMounted {
			for old, fd := range d.mounted { // any: the next use mounts it again
				unix.Close(fd)
				delete(d.mounted, old)
				break
			}
		}
		var err error
		if fd, err = d.mountImage(id); err != nil {
			return -1, fmt.Errorf("mount the image of layer %s: %w", id, err)
		}
		d.mounted[id] = fd
	}
	return linux.OpenBeneath(fd, ".", unix.O_PATH|unix.O_DIRECTORY)
}

// mountImage mounts an image from its file.
func (d *erofsDriver) mountImage(id string) (int, error) {
	file, err := linux.OpenBeneath(d.s.snapsDir, id+"/"+imageFile, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return -1, err
	}
	defer unix.Close(file)
	return mountErofs(file)
}

// mountErofs makes a detached mount of the image in an open file.
func mountErofs(file int) (int, error) {
	fs, err := linux.OpenFS("erofs")
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if err := fs.String("source", linux.FDPath(file)); err != nil {
		return -1, err
	}
	fd, err := fs.Mount(unix.MOUNT_ATTR_RDONLY)
	if errors.Is(err, unix.ENOTBLK) {
		return -1, fmt.Errorf("EROFS cannot be mounted from a file here (it needs Linux 6.12, and a store that is not itself on an overlay): %w", err)
	}
	return fd, err
}

// name is a path of a layer's root, for those who mount by path. It is one of /proc, so that
// nothing is in the mount table that a killed hulld would leave there. Kernels before 6.15 read
// through such a path, and do not take it as a layer.
func (d *erofsDriver) name(id string) (string, error) {
	d.mu.Lock()
	fd, ok := d.named[id]
	d.mu.Unlock()
	if !ok {
		root, err := d.lower(id)
		if err != nil {
			return "", err
		}
		d.mu.Lock()
		if fd, ok = d.named[id]; ok { // another was faster
			unix.Close(root)
		} else {
			fd = root
			d.named[id] = root
		}
		d.mu.Unlock()
	}
	// "/.": the path goes through the link, also with O_NOFOLLOW.
	return fmt.Sprintf("/proc/%d/fd/%d/.", os.Getpid(), fd), nil
}

func (d *erofsDriver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range []map[string]int{d.mounted, d.named} {
		if fd, ok := m[id]; ok {
			unix.Close(fd)
			delete(m, id)
		}
	}
}

func (d *erofsDriver) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range []map[string]int{d.mounted, d.named} {
		for id, fd := range m {
			unix.Close(fd) // those who mounted above keep what they use
			delete(m, id)
		}
	}
	return d.fs.close()
}

func (d *erofsDriver) inside(f func() error) error { return d.fs.inside(f) }

func (d *erofsDriver) verify(dir int, kind snapshots.Kind) error {
	switch kind {
	case snapshots.KindActive:
		return verifyDirs(dir, "fs", "work")
	case snapshots.KindView:
		return verifyDirs(dir, "fs")
	}
	fd, err := linux.OpenBeneath(dir, imageFile, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), imageFile)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := erofs.Inspect(f, info.Size()); err != nil {
		return fmt.Errorf("%s: %w", imageFile, err)
	}
	return nil
}

func (d *erofsDriver) needs(kind snapshots.Kind) []string {
	switch kind {
	case snapshots.KindActive:
		// An image that waits for its commit, one whose commit failed, one being written.
		return []string{"fs", "work", volatileBoot, directFile, imageFile, imageTemp}
	case snapshots.KindView:
		return []string{"fs"}
	}
	return []string{imageFile}
}

// keptOverlayXattr says whether one of overlayfs' own attributes belongs to a layer: that a
// directory is opaque, whiteouts made of attributes, and those of an overlay inside a container
// (escaped by a second "overlay."). The others tie a file to this mount's layers.
func keptOverlayXattr(name string) bool {
	_, rest, _ := strings.Cut(name, ".overlay.")
	return rest == "opaque" || rest == "whiteout" || strings.HasPrefix(rest, "overlay.")
}
