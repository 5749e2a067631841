package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Config of a Store.
type Config struct {
	// Root is the absolute path of the store, made when it is not there.
	Root string
	// Log gets what goes wrong in the background; nil: nothing is logged.
	Log *slog.Logger
	// Event is called when something happened to a volume: create, destroy, mount, unmount, prune.
	// It must not call the store. May be nil.
	Event func(action, name string, attributes map[string]string)
	// At is called at each step that leaves something behind; tests end the process there. May be nil.
	At func(point string)
}

// Store holds the volumes. Its methods may be called at the same time.
type Store struct {
	c    Config
	root int // directory
	gone sync.WaitGroup

	mu      sync.Mutex
	volumes map[string]*volume
}

// volume is one volume. Its description never changes.
type volume struct {
	Volume
	dir int // ROOT/NAME

	uses map[string]int // by user; under Store.mu

	mu       sync.Mutex
	mounts   map[string]int // by user
	attached bool           // what the driver options say is mounted on _data
	removed  bool
}

// Volume describes a volume.
type Volume struct {
	Name    string
	Driver  string // "local"
	Labels  map[string]string
	Options map[string]string // type, o, device
	Created time.Time
	// Mountpoint is the path of the files on the host.
	Mountpoint string
}

const (
	localDriver = "local"
	dataName    = "_data"
	metaName    = "meta.json"
	copyName    = "_copy"
	// AnonymousLabel marks volumes that were made without a name.
	AnonymousLabel = "com.docker.volume.anonymous"
)

// Open opens the store, makes it when it is not there, and sweeps what a crash left.
func Open(c Config) (_ *Store, err error) {
	if !filepath.IsAbs(c.Root) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("open the volumes in %q: the path must be absolute", c.Root))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Event == nil {
		c.Event = func(string, string, map[string]string) {}
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	c.Root = filepath.Clean(c.Root)
	s := &Store{c: c, root: -1, volumes: make(map[string]*volume)}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the volumes in %s: %w", c.Root, err)
			s.Close()
		}
	}()
	if err := os.MkdirAll(c.Root, 0o700); err != nil {
		return nil, err
	}
	if s.root, err = unix.Open(c.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if err := unix.Fchmod(s.root, 0o700); err != nil { // whatever the umask was (R15)
		return nil, err
	}
	entries, err := linux.ReadDir(s.root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, ".") {
			s.sweep(e.Name)
			continue
		}
		v, err := s.load(e.Name)
		if err != nil {
			c.Log.Error("a volume cannot be read, and is left out", "volume", e.Name, "error", err)
			continue
		}
		s.volumes[v.Name] = v
	}
	return s, nil
}

// load opens a volume that is there.
func (s *Store) load(name string) (_ *volume, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	dir, err := linux.OpenBeneath(s.root, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(dir)
		}
	}()
	data, err := linux.OpenBeneath(dir, dataName, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(data)
	if err := removeTree(context.Background(), dir, copyName); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("delete what was being copied: %w", err)
	}
	m, err := readMeta(dir)
	if err != nil {
		s.c.Log.Error("a volume's description is not whole; its files are kept", "volume", name, "error", err)
		var st unix.Stat_t
		if err := unix.Fstat(dir, &st); err != nil {
			return nil, err
		}
		m = meta{Created: time.Unix(st.Ctim.Unix()).UTC()}
	}
	v := s.describe(name, m, dir)
	v.attached, err = isMountRoot(data)
	return v, err
}

func (s *Store) describe(name string, m meta, dir int) *volume {
	return &volume{
		Volume: Volume{Name: name, Driver: localDriver, Labels: m.Labels, Options: m.Options, Created: m.Created, Mountpoint: filepath.Join(s.c.Root, name, dataName)},
		dir:    dir, uses: make(map[string]int), mounts: make(map[string]int),
	}
}

// Close lets go of the store, after deletions under way. What is mounted stays.
func (s *Store) Close() error {
	s.gone.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, v := range s.volumes {
		unix.Close(v.dir)
		delete(s.volumes, name)
	}
	if s.root >= 0 {
		unix.Close(s.root)
		s.root = -1
	}
	return nil
}

// Get finds a volume. NotFound has Docker's text.
func (s *Store) Get(name string) (Volume, error) {
	v, err := s.find(name)
	if err != nil {
		return Volume{}, err
	}
	return v.Volume, nil
}

func (s *Store) find(name string) (*volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.volumes[name]; v != nil {
		return v, nil
	}
	return nil, noVolume(name)
}

func noVolume(name string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
}

// Use notes that a user (a container) refers to a volume, until Release. A user may refer to it more
// than once.
func (s *Store) Use(name, user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.volumes[name]
	if v == nil {
		return noVolume(name)
	}
	v.uses[user]++
	return nil
}

// Release ends one use.
func (s *Store) Release(name, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.volumes[name]; v != nil {
		if v.uses[user]--; v.uses[user] <= 0 {
			delete(v.uses, user)
		}
	}
}

// Users are those who use a volume, sorted.
func (s *Store) Users(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.volumes[name]; v != nil {
		return slices.Sorted(maps.Keys(v.uses))
	}
	return nil
}
