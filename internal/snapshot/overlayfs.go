package snapshot

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// overlayfs mounts overlays by descriptor, in the best way that the kernel has.
type overlayfs struct {
	mnt       int // directory for mounts that must be attached for a moment
	counter   atomic.Uint64
	userXattr bool // in a user namespace: user.overlay.* instead of trusted.overlay.*
	method    layerMethod
	// detached: a layer may be on a mount that is attached nowhere (Linux 6.15).
	detached bool
	// private is where mounts are attached when some must be; nil: none must.
	private *linux.MountNS
}

// layerMethod is how layers are named to the kernel.
type layerMethod int

const (
	byDescriptor layerMethod = iota // fsconfig(FSCONFIG_SET_FD), Linux 6.13
	byName                          // "lowerdir+" with /proc/self/fd/N, Linux 6.8
	byMount                         // mount(2) with one string of options
)

func (m layerMethod) String() string {
	return [...]string{"layers by descriptor", "layers by name", "layers in one mount(2) string"}[m]
}

// overlayOptions keep overlayfs to what image layers mean. A layer's own xattrs may not redirect
// a directory elsewhere or replace a file's data (redirect_dir, metacopy: they are for trusted
// layers), and a layer may be in several mounts (index).
var overlayOptions = [...]string{"index=off", "redirect_dir=nofollow", "metacopy=off"}

// layers of an overlay: directories, the topmost lower first; upper and work -1 for a read-only one.
type layers struct {
	lower       []int
	upper, work int
	volatile    bool
	// attach: some of the lower directories are on detached mounts.
	attach bool
	// mapped: the upper directory is id-mapped.
	mapped bool
}

var errTooDeep = errors.New("more than 500 layers, overlayfs takes no more")

// mount makes a detached overlay mount.
func (o *overlayfs) mount(l layers) (int, error) {
	if len(l.lower) > 500 {
		return -1, errTooDeep
	}
	var fds directories
	defer fds.close()
	if l.attach && !o.detached {
		leave, err := o.attachAll(&l, &fds)
		if err != nil {
			return -1, err
		}
		// The overlay has clones of the layers' mounts: these can go.
		defer leave()
	}
	if l.mapped && l.upper >= 0 {
		// overlayfs makes its own files (the work directory, whiteouts) as the user who made the
		// mount, and that user must be one whom the mapping knows. The work directory is ours, so
		// its owner as the mapping shows it is who we are inside.
		var st unix.Stat_t
		if err := unix.Fstat(l.work, &st); err != nil {
			return -1, fmt.Errorf("stat the work directory: %w", err)
		}
		fd := -1
		err := linux.AsFSUser(int(st.Uid), int(st.Gid), func() (err error) {
			if o.private != nil { // the thread is a new one
				if err := o.private.Enter(); err != nil {
					return err
				}
			}
			fd, err = o.mountLayers(l)
			return err
		})
		return writable(fd, err)
	}
	fd, err := o.mountLayers(l)
	if l.upper < 0 {
		return fd, err
	}
	return writable(fd, err)
}

// writable refuses a mount that overlayfs made read-only, which is what it does, without an error,
// when it cannot use its work directory.
func writable(fd int, err error) (int, error) {
	if err != nil {
		return -1, err
	}
	var st unix.Statfs_t
	if err = linux.Retry(func() error { return unix.Fstatfs(fd, &st) }); err == nil && st.Flags&unix.ST_RDONLY != 0 {
		err = errors.New("overlayfs cannot use its work directory and made the mount read-only (the kernel's log has the reason)")
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (o *overlayfs) mountLayers(l layers) (_ int, err error) {
	if o.method == byMount {
		return o.mountString(l)
	}
	fs, err := linux.OpenFS("overlay")
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if err := fs.String("source", "overlay"); err != nil { // what df and mountinfo show
		return -1, err
	}
	layer := func(key string, fd int) error {
		if o.method == byName {
			return fs.String(key, linux.FDPath(fd))
		}
		return fs.FD(key, fd)
	}
	for _, fd := range l.lower {
		if err := layer("lowerdir+", fd); err != nil {
			return -1, err
		}
	}
	if l.upper >= 0 {
		if err := errors.Join(layer("upperdir", l.upper), layer("workdir", l.work)); err != nil {
			return -1, err
		}
	}
	for _, opt := range o.options(l) {
		key, value, found := strings.Cut(opt, "=")
		if found {
			err = fs.String(key, value)
		} else {
			err = fs.Flag(key)
		}
		if err != nil {
			return -1, err
		}
	}
	attr := 0
	if l.upper < 0 {
		attr = unix.MOUNT_ATTR_RDONLY
	}
	return fs.Mount(attr)
}

// options are those beside the layers.
func (o *overlayfs) options(l layers) []string {
	opts := append([]string(nil), overlayOptions[:]...)
	if o.userXattr {
		opts = []string{"index=off", "userxattr"} // which turns the other two off, and refuses them
	}
	if l.volatile && l.upper >= 0 {
		opts = append(opts, "volatile")
	}
	return opts
}

// mountString mounts by mount(2): a page of options, about 220 layers. The mount is attached for a
// moment.
func (o *overlayfs) mountString(l layers) (int, error) {
	names := make([]string, len(l.lower))
	for i, fd := range l.lower {
		names[i] = linux.FDPath(fd)
	}
	opts := append(o.options(l), "lowerdir="+strings.Join(names, ":"))
	flags := uintptr(0)
	if l.upper >= 0 {
		opts = append(opts, "upperdir="+linux.FDPath(l.upper), "workdir="+linux.FDPath(l.work))
	} else {
		flags = unix.MS_RDONLY
	}
	data := strings.Join(opts, ",")
	if len(data) >= os.Getpagesize() {
		return -1, fmt.Errorf("%d layers do not fit into one page of mount options, and this kernel takes them no other way", len(l.lower))
	}
	name, dir, err := o.point()
	if err != nil {
		return -1, err
	}
	defer o.unpoint(name)
	defer unix.Close(dir)
	if err := linux.Retry(func() error { return unix.Mount("overlay", linux.FDPath(dir), "overlay", flags, data) }); err != nil {
		return -1, fmt.Errorf("mount overlay of %d layers: %w", len(l.lower), err)
	}
	root, err := openPath(o.mnt, name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return cloneLayer(root, false, -1)
}

// attachAll attaches detached layers for as long as the overlay is being made.
func (o *overlayfs) attachAll(l *layers, fds *directories) (leave func(), err error) {
	var points []string
	leave = func() {
		for _, p := range points {
			o.unpoint(p)
		}
	}
	l.lower = append([]int(nil), l.lower...)
	for i, fd := range l.lower {
		name, dir, err := o.point()
		if err == nil {
			points = append(points, name)
			// A clone: the caller's mount stays detached.
			var clone int
			if clone, err = linux.CloneTree(fd); err == nil {
				err = linux.MoveMount(clone, dir)
				unix.Close(clone)
			}
			unix.Close(dir)
		}
		if err == nil {
			var root int
			if root, err = openPath(o.mnt, name); err == nil {
				l.lower[i] = fds.add(root)
			}
		}
		if err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

// inside runs f where mounts may be attached.
func (o *overlayfs) inside(f func() error) error {
	if o.private == nil {
		return f()
	}
	return o.private.Do(f)
}

func (o *overlayfs) close() error {
	if o.private == nil {
		return nil
	}
	return o.private.Close()
}

// point makes a mount point.
func (o *overlayfs) point() (name string, dir int, err error) {
	name = "tmp-" + strconv.FormatUint(o.counter.Add(1), 36)
	if err := unix.Mkdirat(o.mnt, name, 0o700); err != nil && err != unix.EEXIST {
		return "", -1, fmt.Errorf("mkdir %s: %w", name, err)
	}
	dir, err = openPath(o.mnt, name)
	return name, dir, err
}

func (o *overlayfs) unpoint(name string) {
	// Not mounted is EINVAL: the mount failed. What stays is swept at the next start.
	_ = linux.Detach(o.mnt, name)
	_ = unix.Unlinkat(o.mnt, name, unix.AT_REMOVEDIR)
}

// newOverlayfs finds out what the kernel can, with a read-only overlay of two directories below root.
func newOverlayfs(mnt, root int, names ...string) (*overlayfs, error) {
	o := &overlayfs{mnt: mnt, userXattr: inUserNamespace()}
	var fds directories
	defer fds.close()
	var lower []int
	for _, name := range names {
		fd, err := openPath(root, name)
		if err != nil {
			return nil, err
		}
		lower = append(lower, fds.add(fd))
	}
	try := func(l layers) error {
		fd, err := o.mount(l)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	var errs []error
	for o.method = byDescriptor; ; o.method++ {
		err := try(layers{lower: lower, upper: -1})
		if err == nil {
			break
		}
		errs = append(errs, fmt.Errorf("%v: %w", o.method, err))
		if o.method == byMount {
			return nil, errors.Join(errs...)
		}
	}
	clone, err := linux.CloneTree(lower[0])
	if err != nil {
		return nil, err
	}
	lower[0] = fds.add(clone)
	o.detached = true
	o.detached = try(layers{lower: lower, upper: -1, attach: true}) == nil
	return o, nil
}

// inUserNamespace says whether this process is in another user namespace than the host's first.
func inUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	return strings.Join(strings.Fields(string(data)), " ") != "0 0 4294967295"
}
