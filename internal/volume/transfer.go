package volume

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/unpack"
)

// transferUser mounts a volume while it is read or written as a whole.
const transferUser = "export or import"

// Export writes a volume's files as a tar. Containers may be at work in it: each file is as it was
// when its turn came.
func (s *Store) Export(ctx context.Context, name string, w io.Writer) error {
	return s.transfer(ctx, name, false, func(h Handle) error {
		_, err := unpack.Write(ctx, w, h.File, unpack.WriteOptions{})
		return err
	})
}

// Import puts the files of a tar, compressed or not, into a volume, over those that are there. No
// container may have it mounted. After an error a volume that was empty is so again.
func (s *Store) Import(ctx context.Context, name string, r io.Reader) error {
	return s.transfer(ctx, name, true, func(h Handle) error {
		_, err := unpack.Extract(ctx, h.File, r, unpack.Options{Devices: true, Sync: true})
		return err
	})
}

func (s *Store) transfer(ctx context.Context, name string, alone bool, do func(Handle) error) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	if err := s.Use(name, transferUser); err != nil {
		return err
	}
	defer s.Release(name, transferUser)
	if alone {
		v.mu.Lock()
		busy := len(v.mounts) > 0
		v.mu.Unlock()
		if busy {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("import %s: a running container has the volume mounted", name))
		}
	}
	h, err := s.Mount(ctx, MountRequest{Name: name, User: transferUser})
	if err != nil {
		return err
	}
	h.File.Close()
	data, err := v.open()
	if err == nil {
		h.File = data
		err = do(h)
		data.Close()
	}
	if uerr := s.Unmount(name, transferUser); err == nil {
		err = uerr
	}
	return err
}
