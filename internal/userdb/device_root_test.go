package userdb

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootDevice: a device in the place of passwd is refused without being opened. /dev/zero would never end.
func TestRootDevice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for name, dev := range map[string]uint64{"zero": unix.Mkdev(1, 5), "tty": unix.Mkdev(5, 0), "watchdog": unix.Mkdev(10, 130)} {
		root := tree(t, "-", "-")
		err := unix.Mknodat(root, "etc/passwd", unix.S_IFCHR|0o666, int(dev))
		if errors.Is(err, unix.EPERM) {
			t.Skip("device nodes cannot be made here")
		}
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range everyLookup(root) {
			if err == nil || !strings.HasSuffix(err.Error(), "not a regular file") {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
}
