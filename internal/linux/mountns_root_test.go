package linux

import (
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootMountNS: what is mounted inside is seen by nobody outside, and leaves with the
// descriptor; a detached clone of it can be used outside. The process's own thread never moves.
func TestRootMountNS(t *testing.T) {
	main, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ns, err := NewMountNS()
	if err != nil {
		t.Fatal(err)
	}
	clone := -1
	err = ns.Do(func() error {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/inside", nil, 0o600); err != nil {
			return err
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		clone, err = CloneTree(fd)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/inside"); !os.IsNotExist(err) {
		t.Errorf("the mount is seen outside: %v", err)
	}
	if err := ns.Do(func() error { _, err := os.Stat(dir + "/inside"); return err }); err != nil {
		t.Errorf("the mount is not there the second time: %v", err)
	}
	if err := ns.Close(); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(clone)
	if err := unix.Faccessat(clone, "inside", unix.F_OK, 0); err != nil {
		t.Errorf("the clone is of no use outside: %v", err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { _ = onThread(func() error { return unix.Unshare(unix.CLONE_NEWNS) }) })
	}
	all.Wait()
	if now, err := os.Readlink("/proc/self/ns/mnt"); err != nil || now != main {
		t.Errorf("the process is in %s (%v), was in %s", now, err, main)
	}
}

// TestRootMountNSPropagation: nothing inside is shared with the host.
func TestRootMountNSPropagation(t *testing.T) {
	ns, err := NewMountNS()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	err = ns.Do(func() error {
		data, err := os.ReadFile("/proc/thread-self/mountinfo")
		if strings.Contains(string(data), " shared:") {
			t.Errorf("a mount inside would reach the host:\n%s", data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRootMountNS(b *testing.B) {
	for b.Loop() {
		ns, err := NewMountNS()
		if err != nil {
			b.Fatal(err)
		}
		if err := ns.Do(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
		ns.Close()
	}
}
