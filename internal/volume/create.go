package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// CreateOptions of Create.
type CreateOptions struct {
	// Name is empty for an anonymous volume.
	Name            string
	Driver          string // "" or "local"
	Labels, Options map[string]string
	// User uses the volume from the moment that it is there; "": nobody does yet.
	User string
	// Quick leaves the syncing to the system: for a volume that is made for a container.
	Quick bool
}

// Create makes a volume, or finds the one that has its name already, whatever its labels and options are, as
// Docker does.
func (s *Store) Create(o CreateOptions) (Volume, error) {
	if o.Driver != "" && o.Driver != localDriver {
		return Volume{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("error looking up volume plugin %s: plugin %q not found", o.Driver, o.Driver))
	}
	if o.Name == "" {
		var id [32]byte
		_, _ = rand.Read(id[:]) // never fails
		o.Name = hex.EncodeToString(id[:])
		o.Labels = maps.Clone(o.Labels)
		if o.Labels == nil {
			o.Labels = make(map[string]string)
		}
		o.Labels[AnonymousLabel] = ""
	} else if err := checkName(o.Name); err != nil {
		return Volume{}, err
	}
	if err := checkOptions(o.Options); err != nil {
		return Volume{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.volumes[o.Name]
	if v == nil {
		var err error
		if v, err = s.make(o); err != nil {
			return Volume{}, fmt.Errorf("create %s: %w", o.Name, err)
		}
		s.volumes[o.Name] = v
		s.c.Event("create", o.Name, map[string]string{"driver": localDriver})
	}
	if o.User != "" {
		v.uses[o.User]++
	}
	return v.Volume, nil
}

// checkName allows what Docker allows: letters, digits, and then also "_", "." and "-".
func checkName(name string) error {
	if len(name) == 1 {
		return errdefs.ErrInvalidArgument.WithMessage("volume name is too short, names should be at least two alphanumeric characters")
	}
	ok := len(name) <= 255
	for i, c := range name {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && strings.ContainsRune("_.-", c))
	}
	if !ok || name == "" {
		if len(name) > 255 {
			name = name[:255] + "…"
		}
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q includes invalid characters for a local volume name, only %q are allowed. If you intended to pass a host directory, use absolute path", name, "[a-zA-Z0-9][a-zA-Z0-9_.-]"))
	}
	return nil
}

// make makes a volume aside and gives it its name when it is whole.
func (s *Store) make(o CreateOptions) (_ *volume, err error) {
	m := meta{Labels: o.Labels, Options: o.Options, Created: time.Now().UTC().Truncate(time.Microsecond)}
	tmp := ".new-" + token()
	if err := unix.Mkdirat(s.root, tmp, 0o700); err != nil {
		return nil, fmt.Errorf("mkdir %s: %w", tmp, err)
	}
	dir, err := linux.OpenBeneath(s.root, tmp, unix.O_RDONLY|unix.O_DIRECTORY)
	defer func() {
		if err != nil {
			if dir >= 0 {
				unix.Close(dir)
			}
			err = errors.Join(err, removeTree(context.Background(), s.root, tmp))
		}
	}()
	if err != nil {
		return nil, err
	}
	s.c.At("volume.directory")
	if err := unix.Mkdirat(dir, dataName, 0o755); err != nil {
		return nil, fmt.Errorf("mkdir %s: %w", dataName, err)
	}
	data, err := linux.OpenBeneath(dir, dataName, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	// Whatever the umask is. The root of the store is 0700, so nobody else gets this far.
	err = errors.Join(unix.Fchmod(data, 0o755), unix.Fchmod(dir, 0o711))
	unix.Close(data)
	if err != nil {
		return nil, err
	}
	if err := writeMeta(dir, m, !o.Quick); err != nil {
		return nil, err
	}
	s.c.At("volume.written")
	if !o.Quick {
		if err := unix.Fsync(dir); err != nil {
			return nil, fmt.Errorf("sync: %w", err)
		}
	}
	if err := unix.Renameat2(s.root, tmp, s.root, o.Name, unix.RENAME_NOREPLACE); err != nil {
		if err == unix.EEXIST {
			err = errdefs.ErrConflict.WithMessage("a directory of that name is there, and is no volume")
		}
		return nil, err
	}
	s.c.At("volume.named")
	if !o.Quick {
		if err := unix.Fsync(s.root); err != nil {
			s.c.Log.Warn("a new volume may not survive a power failure", "volume", o.Name, "error", err)
		}
	}
	return s.describe(o.Name, m, dir), nil
}

// token is a part of a name that nobody has.
func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
