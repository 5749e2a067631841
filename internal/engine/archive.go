package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/archive"
	"github.com/hull-dev/hull/internal/unpack"
)

// Files shows f a container's files: a running one's as it sees them, a stopped one's with its volumes
// and binds. A stopped container cannot be started meanwhile.
func (e *Engine) files(ctx context.Context, name string, f func(ctx context.Context, v *View, a *archive.View) error) error {
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	var a *archive.View
	var v *View
	err = c.turn(ctx, "copying files", func(context.Context) error {
		if v = c.view.Load(); alive(v.State.Phase) {
			a, err = c.runningFiles(v)
			return err
		}
		// The caller's context: when it goes away, what it copies ends.
		stopped, release, err := c.stoppedFiles(ctx, v)
		if err != nil {
			return err
		}
		defer release()
		defer stopped.Close()
		stopped.ReadOnly = v.Host.ReadonlyRootfs
		return f(ctx, v, stopped)
	})
	if err != nil || a == nil {
		return err
	}
	defer a.Close()
	a.ReadOnly = v.Host.ReadonlyRootfs
	return f(ctx, v, a)
}

func (c *Container) runningFiles(v *View) (*archive.View, error) {
	if c.shim == nil || c.shim.PidFD() == nil {
		return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("container %s has no supervisor, its files cannot be reached", v.Name))
	}
	var ids *archive.IDs
	if r := c.e.idsOf(v); r != nil {
		ids = &archive.IDs{Host: r.Host, Size: r.Size}
	}
	return archive.Running(int(c.shim.PidFD().Fd()), v.State.Pid, ids)
}

func (c *Container) stoppedFiles(ctx context.Context, v *View) (_ *archive.View, release func(), err error) {
	root, err := c.e.opts.Roots.Mount(ctx, c.base, v.Dir, nil, v.AutoRemove())
	if err != nil {
		return nil, nil, fmt.Errorf("mounting the root file system of container %s: %w", v.Name, err)
	}
	var undo undo
	release = func() { undo.unless(&errDone) }
	defer func() {
		if err != nil {
			release()
		}
	}()
	var mounts []archive.Mount
	for _, m := range v.Mounts {
		var f *os.File
		switch m.Type {
		case mount.TypeVolume:
			h, err := c.e.opts.Volumes.Open(ctx, c.id, m, nil)
			if err != nil {
				root.Close()
				return nil, nil, err
			}
			undo.add(func() { c.e.opts.Volumes.Close(c.id, m) })
			undo.add(h.Release)
			f = h.File
		case mount.TypeBind:
			fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
			if errors.Is(err, unix.ENOENT) {
				continue // it is made at the start
			}
			if err != nil {
				root.Close()
				return nil, nil, &os.PathError{Op: "open", Path: m.Source, Err: err}
			}
			f = os.NewFile(uintptr(fd), m.Source)
		default:
			continue // a tmpfs is empty
		}
		if m.Type == mount.TypeBind {
			undo.add(func() { f.Close() })
		}
		mounts = append(mounts, archive.Mount{Source: f, Destination: m.Destination, ReadOnly: m.ReadOnly})
	}
	a, err := archive.Stopped(root, mounts)
	return a, release, err
}

// errDone makes an undo list run at the end of something that went well.
var errDone = errors.New("done")

// Stat describes a file of a container.
func (e *Engine) Stat(ctx context.Context, name, file string) (st container.PathStat, err error) {
	err = e.files(ctx, name, func(_ context.Context, _ *View, a *archive.View) error {
		st, err = a.Stat(file)
		return err
	})
	return st, err
}

// CopyOut writes a file or directory as a tar. begin is called with what it is before the first byte.
func (e *Engine) CopyOut(ctx context.Context, name, file string, begin func(container.PathStat) io.Writer) error {
	return e.files(ctx, name, func(ctx context.Context, _ *View, a *archive.View) error {
		out, err := a.Open(file)
		if err != nil {
			return err
		}
		defer out.Close()
		return out.Write(ctx, begin(out.Stat))
	})
}

// CopyOptions of CopyIn.
type CopyOptions struct {
	NoOverwriteDirNonDir bool
	AsUser               bool // what is copied belongs to the container's user
}

// CopyIn puts the files of a tar into a directory of a container.
func (e *Engine) CopyIn(ctx context.Context, name, dir string, r io.Reader, o CopyOptions) error {
	return e.files(ctx, name, func(ctx context.Context, v *View, a *archive.View) error {
		in := archive.CopyInOptions{NoOverwriteDirNonDir: o.NoOverwriteDirNonDir}
		if o.AsUser && v.Config.User != "" {
			root, err := a.Root()
			if err != nil {
				return err
			}
			defer root.Close()
			u, err := lookUser(root, v.Config.User, nil)
			if err != nil {
				return err
			}
			in.Owner = &unpack.Owner{UID: u.UID, GID: u.GID}
		}
		return a.CopyIn(ctx, dir, r, in)
	})
}

// Export writes all of a container's own files as a tar.
func (e *Engine) Export(ctx context.Context, name string, begin func() io.Writer) error {
	return e.files(ctx, name, func(ctx context.Context, _ *View, a *archive.View) error { return a.Export(ctx, begin()) })
}

// Changes lists what is different in a container from its image.
func (e *Engine) Changes(ctx context.Context, name string) ([]Change, error) {
	c, err := e.names.find(name)
	if err != nil {
		return nil, err
	}
	out := []Change{}
	v := c.view.Load()
	err = e.opts.Roots.Changes(ctx, c.base, v.Dir, v.mountPoints(), func(ch Change) error {
		out = append(out, ch)
		return nil
	})
	return out, err
}

// mountPoints are the paths that a runtime makes in the writable layer when they are not there.
func (v *View) mountPoints() map[string]bool {
	out := make(map[string]bool)
	add := func(p string) {
		for p = strings.Trim(path.Clean(p), "/"); p != "" && p != "."; p = path.Dir(p) {
			out[p] = true
		}
	}
	for _, p := range []string{"dev/pts", "dev/shm", "dev/mqueue", "dev/console", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "sbin/docker-init"} {
		add(p)
	}
	for _, m := range v.Mounts {
		add(m.Destination)
	}
	for p := range v.Host.Tmpfs {
		add(p)
	}
	return out
}
