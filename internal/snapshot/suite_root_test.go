package snapshot

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
)

// drivers are those that work on this machine; a test of all runs for each. Root on a kernel that
// lists the file system must not miss one: a driver that never ran would pass every test.
func drivers(t *testing.T, dir string) []string {
	t.Helper()
	probed, err := Probe(dir)
	if err != nil {
		t.Fatal(err)
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range probed {
		switch {
		case p.OK:
			out = append(out, p.Driver)
		case strings.Contains(string(filesystems), "\t"+p.Driver+"\n") && !strings.Contains(p.Reason, "6.12"):
			t.Errorf("the kernel has %s and the probe says: %s", p.Driver, p.Reason)
		default:
			t.Logf("left out: %s: %s", p.Driver, p.Reason)
		}
	}
	return out
}

// eachDriver runs a test for each driver that works here, as a sub-test.
func eachDriver(t *testing.T, test func(t *testing.T, driver string)) {
	for _, d := range drivers(t, t.TempDir()) {
		t.Run(d, func(t *testing.T) { test(t, d) })
	}
}

// TestRootContainerdSuite is containerd's own suite for snapshotters. Its name for overlayfs is
// overlayfs: it knows that a directory of a lower layer cannot be renamed there.
func TestRootContainerdSuite(t *testing.T) {
	for _, d := range drivers(t, t.TempDir()) {
		name := d
		if d == Overlay {
			name = "overlayfs"
		}
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			testsuite.SnapshotterSuite(t, name, func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
				sn, err := Open(Config{Root: root, Driver: d, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
				if err != nil {
					return nil, nil, err
				}
				return sn, func() error {
					if err := sn.Cleanup(ctx); err != nil && ctx.Err() == nil && !closed(sn) {
						return err
					}
					if !closed(sn) {
						if problems, err := sn.Check(ctx, false); err != nil || len(problems) > 0 {
							t.Errorf("after the test the store is not clean: %v %v", problems, err)
						}
					}
					return sn.Close()
				}, nil
			})
		})
	}
}

func closed(s *Snapshotter) bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	return s.closed
}
