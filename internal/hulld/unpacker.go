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
	"github.com/hull-dev/hull/internal/snapshot"
	"github.com/hull-dev/hull/internal/unpack"
)

// unpacker extracts layers with package unpack, into the directories of the snapshots
// themselves: nothing is mounted. With the erofs snapshotter they go straight into an image.
type unpacker struct {
	driver string // of the snapshotter
	snaps  *snapshot.Snapshotter
}

// Unpack implements image.Unpacker.
func (u unpacker) Unpack(ctx context.Context, mounts []mount.Mount, r io.Reader, bottom bool) (out image.Unpacked, err error) {
	if len(mounts) != 1 {
		return out, fmt.Errorf("a snapshot of %d mounts: %w", len(mounts), errdefs.ErrNotImplemented)
	}
	o := unpack.Options{Whiteouts: unpack.Overlay, Devices: true}
	upper := mounts[0].Source
	var lowers []string
	switch {
	case u.driver == snapshot.Native:
		o.Whiteouts = unpack.Apply
	case mounts[0].Type == "overlay":
		upper, lowers = overlayDirs(mounts[0].Options)
	}
	if bottom && u.driver != snapshot.Native {
		o.Lowers = []*os.File{} // known to be none; nil is unknown
	}
	for _, l := range lowers {
		d, err := openDir(l)
		if err != nil {
			return out, err
		}
		defer d.Close()
		o.Lowers = append(o.Lowers, d)
	}
	st, err := u.extract(ctx, upper, r, o)
	alone := o.Lowers == nil && u.driver != snapshot.Native // of its stack
	switch {
	case errors.Is(err, unpack.ErrNeedsFiles):
		return image.Unpacked{Again: true}, drain(r)
	case errors.Is(err, unpack.ErrNeedsLower) && alone:
		// Above its parent it is extracted once more, and its digest taken then.
		return image.Unpacked{NeedsParent: true, Orphan: errdefs.ErrInvalidArgument.WithMessage(err.Error())}, drain(r)
	case errors.Is(err, unpack.ErrArchive):
		err = errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return image.Unpacked{DiffID: image.DiffID(st.DiffID.String()), Size: st.Size, SetID: st.SetID, NeedsParent: alone && st.Implied > 0, NoRoot: !st.Root}, err
}

// drain reads the rest, which is wanted all the same.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// extract makes the layer's image, or its files below upper.
func (u unpacker) extract(ctx context.Context, upper string, r io.Reader, o unpack.Options) (unpack.Stats, error) {
	if u.driver == snapshot.EROFS {
		st, err := u.image(ctx, upper, r, o)
		again, ok := r.(io.Seeker)
		if !ok || !errors.Is(err, unpack.ErrNeedsFiles) {
			return st, err
		}
		if _, err := again.Seek(0, io.SeekStart); err != nil {
			return st, err
		}
	}
	dir, err := openDir(upper)
	if err != nil {
		return unpack.Stats{}, err
	}
	defer dir.Close()
	return unpack.Extract(ctx, dir, r, o)
}

// image makes the layer's image. Without a parent no directory of the host is touched.
func (u unpacker) image(ctx context.Context, upper string, r io.Reader, o unpack.Options) (unpack.Stats, error) {
	img, err := u.snaps.ImageAt(ctx, upper)
	if err != nil {
		return unpack.Stats{}, err
	}
	st, err := unpack.ExtractImage(ctx, img.Writer, img.File(), r, o)
	if err != nil {
		return st, errors.Join(err, img.Abort())
	}
	return st, img.Finish()
}

// overlayDirs are the directories in an overlay's mount options, the topmost lower one first.
func overlayDirs(options []string) (upper string, lowers []string) {
	for _, o := range options {
		if v, ok := strings.CutPrefix(o, "upperdir="); ok {
			upper = v
		} else if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			lowers = append(lowers, splitLower(v)...)
		} else if v, ok := strings.CutPrefix(o, "lowerdir+="); ok {
			lowers = append(lowers, v)
		}
	}
	return upper, lowers
}

// splitLower splits a lowerdir option: at colons, but for those that a backslash precedes.
func splitLower(v string) (out []string) {
	var dir strings.Builder
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '\\' && i+1 < len(v):
			i++
			dir.WriteByte(v[i])
		case v[i] == ':':
			out = append(out, dir.String())
			dir.Reset()
		default:
			dir.WriteByte(v[i])
		}
	}
	return append(out, dir.String())
}

// openDir opens a directory of the snapshotter's own.
func openDir(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}
