package hulld

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/unpack"
)

// unpacker extracts layers with package unpack, into the directories of the snapshots
// themselves: nothing is mounted.
type unpacker struct {
	driver string // of the snapshotter
}

// Unpack implements image.Unpacker.
func (u unpacker) Unpack(ctx context.Context, mounts []mount.Mount, r io.Reader) (out image.Unpacked, err error) {
	if len(mounts) != 1 {
		return out, fmt.Errorf("a snapshot of %d mounts: %w", len(mounts), errdefs.ErrNotImplemented)
	}
	o := unpack.Options{Whiteouts: unpack.Overlay, Devices: true}
	upper := mounts[0].Source
	var lowers []string
	switch {
	case u.driver == "native":
		o.Whiteouts = unpack.Apply
	case mounts[0].Type == "overlay":
		upper, lowers = overlayDirs(mounts[0].Options)
	}
	dir, err := openDir(upper)
	if err != nil {
		return out, err
	}
	defer dir.Close()
	for _, l := range lowers {
		d, err := openDir(l)
		if err != nil {
			return out, err
		}
		defer d.Close()
		o.Lowers = append(o.Lowers, d)
	}
	st, err := unpack.Extract(ctx, dir, r, o)
	if errors.Is(err, unpack.ErrNeedsLower) && len(lowers) == 0 && u.driver != "native" {
		_, err := io.Copy(io.Discard, r) // the rest is wanted all the same
		return image.Unpacked{NeedsParent: true}, err
	}
	if errors.Is(err, unpack.ErrArchive) {
		err = errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return image.Unpacked{
		DiffID:      image.DiffID(st.DiffID.String()),
		Size:        st.Size,
		SetID:       st.SetID,
		NeedsParent: len(lowers) == 0 && st.Implied > 0 && u.driver != "native",
	}, err
}

// overlayDirs are the directories in an overlay's mount options, the topmost lower one first.
func overlayDirs(options []string) (upper string, lowers []string) {
	for _, o := range options {
		if v, ok := strings.CutPrefix(o, "upperdir="); ok {
			upper = v
		} else if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			lowers = append(lowers, strings.Split(v, ":")...)
		} else if v, ok := strings.CutPrefix(o, "lowerdir+="); ok {
			lowers = append(lowers, v)
		}
	}
	return upper, lowers
}

// openDir opens a directory of the snapshotter's own.
func openDir(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}
