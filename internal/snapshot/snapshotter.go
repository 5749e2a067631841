package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Config of a snapshotter.
type Config struct {
	// Root is the absolute path of the store, made with mode 0700 when it is not there.
	Root string
	// Driver is Overlay, EROFS or Native; a store of another driver is refused.
	Driver string
	// Log gets what goes wrong in the background; nil: nothing is logged.
	Log *slog.Logger

	// At is called at each step that leaves something behind; tests die there. May be nil.
	At func(step string)
	// attach: layers are attached to be mounted, as kernels before 6.15 want it; for tests.
	attach bool
}

// Snapshotter is a store of snapshots. It implements snapshots.Snapshotter and snapshots.Cleaner.
type Snapshotter struct {
	root   string
	meta   *storage.MetaStore
	driver driver
	log    *slog.Logger
	at     func(step string)

	storeDirs
	busy  sync.RWMutex
	keys  keyLocks
	syncs groupSync
	trash trash

	closing sync.Mutex
	closed  bool
}

var (
	_ snapshots.Snapshotter = (*Snapshotter)(nil)
	_ snapshots.Cleaner     = (*Snapshotter)(nil)
)

// driver is what differs between the three. Directories are descriptors of snapshots/ID.
type driver interface {
	// fill makes what a new snapshot needs in dir, an empty directory that nobody sees yet.
	fill(ctx context.Context, dir int, s storage.Snapshot) error
	// seal makes an active snapshot's directory ready to be committed, and measures it. The
	// snapshot stays usable as an active one: the commit may still fail.
	seal(ctx context.Context, dir int, name string) (snapshots.Usage, error)
	// settle takes away what a committed snapshot does not need. It may be called again.
	settle(dir int) error
	// usage measures an active snapshot.
	usage(ctx context.Context, dir int) (snapshots.Usage, error)
	// mounts describes how to mount a snapshot, in containerd's form.
	mounts(s storage.Snapshot, volatile bool) ([]mount.Mount, error)
	// mount makes a detached mount of a snapshot.
	mount(s storage.Snapshot, volatile bool, o MountOptions) (int, error)
	// layer opens a directory with a snapshot's own changes.
	layer(id string, kind snapshots.Kind) (int, error)
	// verify says what is wrong with a snapshot's directory.
	verify(dir int, kind snapshots.Kind) error
	// needs names what a snapshot's directory may hold.
	needs(kind snapshots.Kind) []string
	// inside runs f where the mount system calls of mounts, mount and layer work.
	inside(f func() error) error
	// forget lets go of a snapshot that is being removed.
	forget(id string)
	// close lets go of everything.
	close() error
}

const (
	formatVersion = 1
	maxNameBytes  = 4096
	lockTimeout   = 2 * time.Second // another process has the store
	undoTimeout   = 30 * time.Second
)

// Open opens a store, makes it when it is not there, and sweeps what a crash left.
func Open(cfg Config) (_ *Snapshotter, err error) {
	if !filepath.IsAbs(cfg.Root) || strings.ContainsAny(cfg.Root, ":,\\\"\n") {
		// overlayfs options separate and quote by these.
		return nil, fmt.Errorf("open the snapshots in %q: the path must be absolute and without ':', ',', '\\' and '\"': %w", cfg.Root, errdefs.ErrInvalidArgument)
	}
	s := &Snapshotter{root: filepath.Clean(cfg.Root), log: cfg.Log, at: cfg.At, storeDirs: noDirs}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.at == nil {
		s.at = func(string) {}
	}
	s.keys.init()
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the snapshots in %s: %w", s.root, err)
			s.Close()
		}
	}()
	if err := s.storeDirs.open(s.root); err != nil {
		return nil, err
	}
	// bbolt's lock on the file is the store's: nothing else is touched before it is held.
	s.meta, err = storage.NewMetaStore(filepath.Join(s.root, "metadata.db"), func(o *bolt.Options) error {
		o.Timeout = lockTimeout
		o.FreelistType = bolt.FreelistMapType
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.meta.WithTransaction(context.Background(), false, func(context.Context) error { return nil }); err != nil {
		return nil, fmt.Errorf("metadata.db (is another hulld running?): %w", err)
	}
	if err := s.claim(cfg.Driver); err != nil {
		return nil, err
	}
	switch cfg.Driver {
	case Overlay:
		s.driver, err = newOverlay(s, cfg.attach)
	case EROFS:
		s.driver, err = newErofs(s, cfg.attach)
	case Native:
		s.driver = &nativeDriver{s}
	default:
		err = fmt.Errorf("no snapshotter %q: %w", cfg.Driver, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return nil, err
	}
	s.trash.start(s)
	if err := s.sweep(context.Background()); err != nil {
		return nil, fmt.Errorf("sweeping what an earlier run left: %w", err)
	}
	return s, nil
}

// storeDirs are the directories of a store, open as long as it is.
type storeDirs struct{ rootDir, snapsDir, trashDir, mntDir int }

// noDirs are none.
var noDirs = storeDirs{-1, -1, -1, -1}

// open makes and opens them.
func (s *storeDirs) open(root string) (err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if s.rootDir, err = unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return &os.PathError{Op: "open", Path: root, Err: err}
	}
	// Whatever the umask was, and whoever made it (R15).
	if err := unix.Fchmod(s.rootDir, 0o700); err != nil {
		return fmt.Errorf("chmod 0700: %w", err)
	}
	for _, d := range []struct {
		name string
		fd   *int
	}{{"snapshots", &s.snapsDir}, {"trash", &s.trashDir}, {"mnt", &s.mntDir}} {
		if err := unix.Mkdirat(s.rootDir, d.name, 0o700); err != nil && err != unix.EEXIST {
			return fmt.Errorf("mkdir %s: %w", d.name, err)
		}
		if *d.fd, err = linux.OpenBeneath(s.rootDir, d.name, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			return err
		}
	}
	return nil
}

// claim writes which driver's store this is, or compares.
func (s *Snapshotter) claim(driver string) error {
	want := fmt.Sprintf("%s %d\n", driver, formatVersion)
	have, err := readSmall(s.rootDir, "driver")
	switch {
	case errors.Is(err, unix.ENOENT):
		return writeFile(s.rootDir, "driver", want)
	case err != nil:
		return err
	case have != want:
		return fmt.Errorf("it is a store of %q, not of %q: %w", strings.TrimSpace(have), strings.TrimSpace(want), errdefs.ErrFailedPrecondition)
	}
	return nil
}

// Close ends the work in the background and lets go of the store. Mounts of snapshots stay.
func (s *Snapshotter) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.trash.stop()
	s.busy.Lock() // operations that run are let finish
	defer s.busy.Unlock()
	var errs []error
	if s.driver != nil {
		errs = append(errs, s.driver.close())
	}
	if s.meta != nil {
		errs = append(errs, s.meta.Close())
	}
	s.storeDirs.close()
	return errors.Join(errs...)
}

func (s *storeDirs) close() {
	for _, fd := range []int{s.mntDir, s.trashDir, s.snapsDir, s.rootDir} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	*s = noDirs
}

// enter begins an operation: the store stays open until the function it returns is called.
func (s *Snapshotter) enter() (leave func(), err error) {
	s.busy.RLock()
	if s.rootDir < 0 {
		s.busy.RUnlock()
		return nil, fmt.Errorf("the snapshots in %s are closed: %w", s.root, errdefs.ErrUnavailable)
	}
	return s.busy.RUnlock, nil
}

// dir opens the directory of a snapshot. A link in its place is refused.
func (s *Snapshotter) dir(id string) (int, error) {
	return linux.OpenBeneath(s.snapsDir, id, unix.O_RDONLY|unix.O_DIRECTORY)
}

// path is the same as a string, for containerd's mounts.
func (s *Snapshotter) path(id, name string) string {
	return filepath.Join(s.root, "snapshots", id, name)
}

// validName refuses names that the database or a message could not hold.
func validName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s is empty: %w", what, errdefs.ErrInvalidArgument)
	case len(name) > maxNameBytes:
		return fmt.Errorf("the %s has %d bytes, at most %d: %w", what, len(name), maxNameBytes, errdefs.ErrInvalidArgument)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("the %s %q has a zero byte: %w", what, name, errdefs.ErrInvalidArgument)
	}
	return nil
}

// readSmall reads a file of at most 4 KiB below dir.
func readSmall(dir int, name string) (string, error) {
	fd, err := linux.OpenBeneath(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return "", &os.PathError{Op: "read", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

// writeFile makes a file with its content, whole or not at all, durably.
func writeFile(dir int, name, content string) error {
	tmp := name + ".new"
	fd, err := linux.CreateBeneath(dir, tmp, unix.O_WRONLY|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), tmp)
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(dir, tmp, dir, name)
	}
	if err == nil {
		var again int // dir may be O_PATH
		if again, err = linux.OpenBeneath(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			err = unix.Fsync(again)
			unix.Close(again)
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
