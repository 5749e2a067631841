package serve

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootNull: who gets a container's null device by fchown(2), as crun does, has not the host's.
func TestRootNull(t *testing.T) {
	f, err := openNull()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("write: %d %v", n, err)
	}
	if n, _ := f.Read(make([]byte, 1)); n != 0 {
		t.Errorf("read: %d bytes", n)
	}
	var own, host unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &own); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(os.DevNull, &host); err != nil {
		t.Fatal(err)
	}
	if own.Rdev != host.Rdev || own.Dev == host.Dev && own.Ino == host.Ino {
		t.Errorf("device %d on %d:%d, the host's %d on %d:%d", own.Rdev, own.Dev, own.Ino, host.Rdev, host.Dev, host.Ino)
	}
}
