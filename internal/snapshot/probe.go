package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
	"github.com/hull-dev/hull/internal/linux"
)

// The drivers, in the order in which Choose prefers them.
const (
	EROFS   = "erofs"
	Overlay = "overlay"
	Native  = "native"
)

// Support says whether a driver works on a directory.
type Support struct {
	Driver string
	OK     bool
	// Reason is why it does not work, or how it works ("copies share blocks").
	Reason string
}

// Probe tries each driver on the file system of dir, which is made when it is not there, by doing
// what the driver does: it makes a snapshot's mount and writes a file. The best comes first.
func Probe(dir string) ([]Support, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("probe snapshotters in %s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return nil, fmt.Errorf("probe snapshotters in %s: %w", dir, err)
	}
	defer os.RemoveAll(tmp)
	// What is attached on the way is seen by nobody, and gone with the process.
	private, err := linux.NewMountNS()
	if err != nil {
		return nil, fmt.Errorf("probe snapshotters in %s: %w", dir, err)
	}
	defer private.Close()
	out := []Support{{Driver: EROFS}, {Driver: Overlay}, {Driver: Native}}
	err = private.Do(func() error {
		for i := range out {
			p := &out[i]
			reason, err := probe(p.Driver, filepath.Join(tmp, p.Driver))
			p.OK, p.Reason = err == nil, reason
			if err != nil {
				p.Reason = err.Error()
			}
		}
		return nil
	})
	return out, err
}

// Choose picks a driver for the store in dir: override when it is not empty, else the one whose
// store dir already is (dir/driver), else the first of probed that works.
func Choose(dir, override string, probed []Support) (string, error) {
	want, how := override, "was asked for"
	if want == "" {
		data, err := os.ReadFile(filepath.Join(dir, "driver"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("choose a snapshotter: %w", err)
		}
		want, _, _ = strings.Cut(strings.TrimSpace(string(data)), " ")
		how = "has its snapshots in " + dir
	}
	var reasons []string
	for _, p := range probed {
		switch {
		case want == "" && p.OK, p.Driver == want && p.OK:
			return p.Driver, nil
		case p.Driver == want:
			return "", fmt.Errorf("the snapshotter %s %s and does not work here: %s: %w", want, how, p.Reason, errdefs.ErrFailedPrecondition)
		}
		reasons = append(reasons, p.Driver+": "+p.Reason)
	}
	if want != "" {
		return "", fmt.Errorf("there is no snapshotter %q: %w", want, errdefs.ErrInvalidArgument)
	}
	return "", fmt.Errorf("no snapshotter works in %s: %s: %w", dir, strings.Join(reasons, "; "), errdefs.ErrFailedPrecondition)
}

func probe(driver, dir string) (reason string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(root)
	if driver == Native {
		return probeNative(root)
	}
	for _, name := range []string{"a", "b"} {
		if err := unix.Mkdirat(root, name, 0o700); err != nil {
			return "", fmt.Errorf("mkdir %s: %w", name, err)
		}
	}
	o, err := newOverlayfs(root, root, "a", "b")
	if err != nil {
		return "", err
	}
	if err := unix.Mkdirat(root, "up", 0o700); err != nil {
		return "", err
	}
	up, err := linux.OpenBeneath(root, "up", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer unix.Close(up)
	if err := fillUpper(up, activeSnapshot, nil); err != nil {
		return "", err
	}
	var fds directories
	defer fds.close()
	l := layers{attach: driver == EROFS}
	if driver == EROFS {
		lower, err := probeImage(root)
		if err != nil {
			return "", err
		}
		l.lower = append(l.lower, fds.add(lower))
	} else {
		lower, err := openPath(root, "a")
		if err != nil {
			return "", err
		}
		l.lower = append(l.lower, fds.add(lower))
		if err := writeFile(root, "a/probe", "lower"); err != nil {
			return "", err
		}
	}
	for _, d := range []struct {
		name string
		fd   *int
	}{{"fs", &l.upper}, {"work", &l.work}} {
		if *d.fd, err = openPath(up, d.name); err != nil {
			return "", err
		}
		fds.add(*d.fd)
	}
	merged, err := o.mount(l)
	if err != nil {
		return "", err
	}
	fds.add(merged)
	// Read through the lower layer, delete (a whiteout in the upper one), write anew.
	if got, err := readSmall(merged, "probe"); err != nil || got != "lower" {
		return "", errors.Join(fmt.Errorf("overlayfs shows %q where the lower layer has %q", got, "lower"), err)
	}
	if err := unix.Unlinkat(merged, "probe", 0); err != nil {
		return "", fmt.Errorf("delete a file of the lower layer: %w", err)
	}
	if err := writeFile(merged, "probe", "upper"); err != nil {
		return "", err
	}
	return o.method.String(), nil
}

// activeSnapshot is what fillUpper needs to know of one without parents.
var activeSnapshot = storage.Snapshot{Kind: snapshots.KindActive}

// probeImage writes a small image and mounts it.
func probeImage(root int) (int, error) {
	fd, err := linux.CreateBeneath(root, "probe.erofs", unix.O_RDWR|unix.O_EXCL, 0o600)
	if err != nil {
		return -1, err
	}
	f := os.NewFile(uintptr(fd), "probe.erofs")
	defer f.Close()
	w := erofs.NewWriter(f, erofs.Options{})
	if _, err := w.Add(w.Root(), "probe", erofs.Meta{Mode: unix.S_IFREG | 0o644, Size: 5}, strings.NewReader("lower")); err != nil {
		return -1, err
	}
	if err := w.Close(); err != nil {
		return -1, err
	}
	return mountErofs(fd)
}

func probeNative(root int) (string, error) {
	if err := writeFile(root, "a", "some bytes"); err != nil {
		return "", err
	}
	src, err := linux.OpenBeneath(root, "a", unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(src)
	dst, err := linux.CreateBeneath(root, "b", unix.O_WRONLY|unix.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer unix.Close(dst)
	if err := linux.Reflink(dst, src); err != nil {
		return "copies take space: no reflinks here", nil
	}
	return "copies share blocks", nil
}
