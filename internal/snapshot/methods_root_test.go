package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

func overlayOf(s *Snapshotter) *overlayfs {
	switch d := s.driver.(type) {
	case *overlayDriver:
		return d.fs
	case *erofsDriver:
		return d.fs
	}
	return nil
}

// TestRootLayerMethods runs the ways of older kernels on this one.
func TestRootLayerMethods(t *testing.T) {
	for _, driver := range []string{Overlay, EROFS} {
		for _, m := range []layerMethod{byDescriptor, byName, byMount} {
			for _, detached := range []bool{true, false} {
				if m == byMount && detached {
					continue // no kernel has the one without the other
				}
				t.Run(fmt.Sprintf("%s/%v/detached=%v", driver, m, detached), func(t *testing.T) {
					ctx := context.Background()
					root := t.TempDir()
					s := openConfig(t, Config{Root: root, Driver: driver, attach: !detached})
					overlayOf(s).method = m
					commit(t, s, "one", "", func(dir string) { write(t, dir+"/a", "1"); write(t, dir+"/b", "1") })
					commit(t, s, "two", "one", func(dir string) { write(t, dir+"/b", "2"); must(t, os.Remove(dir+"/a")) })
					must(t, s.Create(ctx, snapshots.KindActive, "c", "two"))
					unchanged(t, func() {
						f, err := s.Mount(ctx, "c", MountOptions{ReadOnly: true})
						must(t, err)
						must(t, f.Close())
					})
					dir, _ := mounted(t, s, "c", MountOptions{})
					write(t, dir+"/c", "3")
					// The kernel shows the names that it was given.
					if got, want := strings.Contains(overlayOptionsOf(t, dir), "=/proc/self/fd/"), m != byDescriptor; got != want {
						t.Errorf("layers given by name: %v, want %v", got, want)
					}
					if driver == EROFS && m == byDescriptor {
						if got := strings.Contains(overlayOptionsOf(t, dir), root+"/mnt/tmp-"); got == detached {
							t.Errorf("the images were attached for the mount: %v, want %v", got, !detached)
						}
					}
					if b, err := os.ReadFile(dir + "/b"); err != nil || string(b) != "2" {
						t.Errorf("b: %q %v", b, err)
					}
					if _, err := os.Stat(dir + "/a"); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("a: %v, want that it is not there", err)
					}
					if m := mountsBelow(t, root); len(m) > 0 {
						t.Errorf("left mounted: %v", m)
					}
					clean(t, s)
				})
			}
		}
	}
}

// unchanged fails when f changes the mount table of the host: a process that is killed would
// leave that. Others' changes are told apart by trying again.
func unchanged(t *testing.T, f func()) {
	t.Helper()
	table, err := os.Open("/proc/self/mountinfo")
	must(t, err)
	defer table.Close()
	changed := func() bool {
		p := []unix.PollFd{{Fd: int32(table.Fd()), Events: unix.POLLPRI}}
		_, err := unix.Poll(p, 0)
		must(t, err)
		return p[0].Revents&unix.POLLPRI != 0
	}
	for range 20 {
		for changed() { // reports each change once
		}
		f()
		if !changed() {
			return
		}
	}
	t.Error("the mount table changed each time")
}

// overlayOptionsOf attaches a clone of a mount for a moment and reads its line in mountinfo.
func overlayOptionsOf(t *testing.T, path string) string {
	t.Helper()
	root, err := unix.Open(path+"/.", unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(root)
	clone, err := linux.CloneTree(root)
	if errors.Is(err, unix.EINVAL) { // it was cloned in another namespace, and is attached as it is
		clone, err = unix.Dup(root)
	}
	must(t, err)
	defer unix.Close(clone)
	point := t.TempDir()
	pfd, err := unix.Open(point, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pfd)
	must(t, linux.MoveMount(clone, pfd))
	defer unix.Unmount(point, unix.MNT_DETACH)
	data, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, " "+point+" ") {
			return line
		}
	}
	t.Fatal("the mount is not in mountinfo")
	return ""
}
