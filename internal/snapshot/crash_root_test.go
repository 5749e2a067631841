package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// The scenario that is killed: a process of its own runs it, and dies at the n-th step.
const (
	crashRoot   = "HULL_SNAPSHOT_CRASH_ROOT"
	crashDriver = "HULL_SNAPSHOT_CRASH_DRIVER"
	crashAt     = "HULL_SNAPSHOT_CRASH_AT"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(crashRoot); root != "" {
		if err := scenario(root, os.Getenv(crashDriver), os.Getenv(crashAt)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// layerSize is more than one write of a file, so that a torn layer shows.
const layerSize = 3 << 20

func layerContent(i int) []byte {
	b := make([]byte, layerSize)
	for j := range b {
		b[j] = byte(j*31 + j>>9 + i)
	}
	return b
}

// scenario does everything once: two layers, a container, a view, an image written directly,
// removals. It prints each step, and "done NAME" when a promise was made.
func scenario(root, driver, dieAt string) error {
	var mu sync.Mutex // steps are passed in the background too
	steps := make(map[string]int)
	say := func(s string) { os.Stdout.WriteString(s + "\n") }
	at := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		steps[step]++
		name := fmt.Sprintf("%s#%d", step, steps[step])
		say("step " + name)
		if name == dieAt {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
	ctx := context.Background()
	s, err := Open(Config{Root: root, Driver: driver, At: at})
	if err != nil {
		return err
	}
	for i := 1; i <= 2; i++ {
		name, key, parent := fmt.Sprintf("layer-%d", i), fmt.Sprintf("extract-%d", i), ""
		if i > 1 {
			parent = fmt.Sprintf("layer-%d", i-1)
		}
		if err := s.Create(ctx, snapshots.KindActive, key, parent); err != nil {
			return err
		}
		say("done " + key)
		m, err := s.Mount(ctx, key, MountOptions{})
		if err != nil {
			return err
		}
		if err := os.WriteFile(fmt.Sprintf("%s/file-%d", linux.FDPath(int(m.Fd())), i), layerContent(i), 0o644); err != nil {
			return err
		}
		// The second layer's directory hides the first's.
		d := linux.FDPath(int(m.Fd())) + "/d"
		if err := errors.Join(os.RemoveAll(d), os.Mkdir(d, 0o755), os.WriteFile(fmt.Sprintf("%s/%d", d, i), nil, 0o644)); err != nil {
			return err
		}
		m.Close()
		if err := s.Commit(ctx, name, key); err != nil {
			return err
		}
		say("done " + name)
	}
	if _, err := s.Prepare(ctx, "container", "layer-2"); err != nil {
		return err
	}
	say("done container")
	if _, err := s.View(ctx, "view", "layer-2"); err != nil {
		return err
	}
	v, err := s.Mount(ctx, "view", MountOptions{})
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(linux.FDPath(int(v.Fd())) + "/d")
	if v.Close(); err != nil || len(entries) != 1 || entries[0].Name() != "2" {
		return fmt.Errorf("the second layer's directory has %v (%v), want 2 alone", entries, err)
	}
	if driver == EROFS {
		if err := s.Create(ctx, snapshots.KindActive, "direct", ""); err != nil {
			return err
		}
		w, err := s.NewImage(ctx, "direct")
		if err != nil {
			return err
		}
		at("image.begun")
		if err := w.Finish(); err != nil {
			return err
		}
		at("image.finished")
		if err := s.Commit(ctx, "image", "direct"); err != nil {
			return err
		}
	}
	for _, key := range []string{"view", "container", "layer-2"} {
		if err := s.Remove(ctx, key); err != nil {
			return err
		}
		say("done -" + key)
	}
	if err := s.Cleanup(ctx); err != nil {
		return err
	}
	return s.Close()
}

// crash runs the scenario up to a step and returns what it promised.
func crash(t *testing.T, root, driver, at string) (steps, done []string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), crashRoot+"="+root, crashDriver+"="+driver, crashAt+"="+at)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if at == "" && err != nil || at != "" && (!errors.As(err, &exit) || exit.ExitCode() != -1) {
		t.Fatalf("the scenario up to %q: %v", at, err)
	}
	for line := range strings.Lines(string(out)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "step "); ok {
			steps = append(steps, s)
		} else if s, ok := strings.CutPrefix(strings.TrimSpace(line), "done "); ok {
			done = append(done, s)
		}
	}
	return steps, done
}

// intact opens a store after a crash and checks that every operation is done or absent, that
// nothing is left over, and that the store works.
func intact(t *testing.T, root, driver string, done []string) {
	t.Helper()
	ctx := context.Background()
	s := open(t, root, driver)
	clean(t, s)
	for _, name := range done {
		removed, gone := strings.CutPrefix(name, "-")
		key := name
		if gone {
			key = removed
		}
		info, err := s.Stat(ctx, key)
		switch {
		case gone && !errdefs.IsNotFound(err):
			t.Errorf("%s was removed, and now: %v %v", key, info, err)
		case !gone && err != nil && !slices.Contains(done, "-"+key) && !superseded(key, done) && !underRemoval(key):
			t.Errorf("%s was promised, and now: %v", key, err)
		}
	}
	for i := 1; i <= 2; i++ {
		name := fmt.Sprintf("layer-%d", i)
		if _, err := s.Stat(ctx, name); err != nil {
			continue
		}
		must(t, s.Create(ctx, snapshots.KindView, "look-"+name, name))
		dir, unmount := mounted(t, s, "look-"+name, MountOptions{})
		for j := 1; j <= i; j++ {
			got, err := os.ReadFile(fmt.Sprintf("%s/file-%d", dir, j))
			if err != nil || string(got) != string(layerContent(j)) {
				t.Errorf("%s: file-%d has %d bytes, wrong or missing: %v", name, j, len(got), err)
			}
		}
		unmount()
		must(t, s.Remove(ctx, "look-"+name))
	}
	// Every snapshot can be used: mounted, and removed, children first.
	var all []snapshots.Info
	must(t, s.Walk(ctx, func(_ context.Context, info snapshots.Info) error { all = append(all, info); return nil }))
	for _, info := range all {
		if info.Kind != snapshots.KindCommitted {
			_, unmount := mounted(t, s, info.Name, MountOptions{})
			unmount()
		}
	}
	for len(all) > 0 {
		before := len(all)
		all = slices.DeleteFunc(all, func(info snapshots.Info) bool { return s.Remove(ctx, info.Name) == nil })
		if len(all) == before {
			t.Fatalf("these cannot be removed: %v", all)
		}
	}
	clean(t, s)
	must(t, s.Close())
	for _, dir := range []string{"snapshots", "trash", "mnt"} {
		if entries, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(entries) > 0 {
			t.Errorf("%s is not empty at the end: %v %v", dir, entries, err)
		}
	}
	if m := mountsBelow(t, root); len(m) > 0 {
		t.Errorf("left mounted: %v", m)
	}
}

// superseded: an extraction's key is gone once its layer is committed, promised or not.
func superseded(key string, done []string) bool {
	_, extract := strings.CutPrefix(key, "extract-")
	return extract
}

// underRemoval: what the scenario removes may be gone before it says so.
func underRemoval(key string) bool { return key == "container" || key == "layer-2" }

// TestRootCrash kills a process at every step and lets another open the store.
func TestRootCrash(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		steps, _ := crash(t, t.TempDir(), driver, "")
		if len(steps) < 20 {
			t.Fatalf("only the steps %v", steps)
		}
		for _, step := range steps {
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				root := t.TempDir()
				_, done := crash(t, root, driver, step)
				intact(t, root, driver, done)
			})
		}
	})
}

// TestRootUserNamespace: a hulld of an ordinary user has its store in a user namespace, where
// overlayfs keeps its marks in user.overlay attributes.
func TestRootUserNamespace(t *testing.T) {
	root := t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), crashRoot+"="+root, crashDriver+"="+Overlay, crashAt+"=")
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: one, GidMappings: one}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the scenario in a user namespace: %v\n%s", err, out)
	}
}

// loopFS makes a small ext4 in a file and mounts it.
func loopFS(t testing.TB, mib int) (image, dir string) {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("mkfs.ext4 is not installed")
	}
	image = filepath.Join(t.TempDir(), "fs.img")
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(int64(mib)<<20))
	must(t, f.Close())
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-O", "^metadata_csum_seed", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	return image, mountLoop(t, image)
}

func mountLoop(t testing.TB, image string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount %s: %v\n%s", image, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("umount %s: %v", dir, err)
		}
	})
	return dir
}

// TestRootPowerCut takes the disk as it is at the moment of a promise, before anything more is
// written, and looks what another boot would find there.
func TestRootPowerCut(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		for _, moment := range []string{"commit.recorded", "prepare.renamed"} {
			t.Run(moment, func(t *testing.T) {
				ctx := context.Background()
				image, dir := loopFS(t, 96)
				cut := filepath.Join(t.TempDir(), "cut.img")
				armed := false
				s := openConfig(t, Config{Root: dir + "/store", Driver: driver, At: func(step string) {
					if armed && step == moment {
						copyFile(t, image, cut)
						armed = false
					}
				}})
				must(t, s.Create(ctx, snapshots.KindActive, "extract-1", ""))
				m, unmount := mounted(t, s, "extract-1", MountOptions{})
				must(t, os.WriteFile(m+"/file-1", layerContent(1), 0o644))
				unmount()
				armed = moment == "commit.recorded"
				must(t, s.Commit(ctx, "layer-1", "extract-1"))
				done := []string{"layer-1"}
				if moment == "prepare.renamed" {
					armed = true
					must(t, s.Create(ctx, snapshots.KindActive, "c", "layer-1"))
					done = append(done, "c")
				}
				if _, err := os.Stat(cut); err != nil {
					t.Fatal("the step was not passed")
				}
				intact(t, mountLoop(t, cut)+"/store", driver, done)
			})
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.Create(to)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, errors.Join(err, out.Close()))
}

// TestRootDiskFull: a clear error, nothing half-made, and all is well when there is space again.
func TestRootDiskFull(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		_, dir := loopFS(t, 48)
		s := open(t, dir+"/store", driver)
		must(t, s.Create(ctx, snapshots.KindActive, "a", ""))
		m, unmount := mounted(t, s, "a", MountOptions{})
		for i := range 4 {
			must(t, os.WriteFile(fmt.Sprintf("%s/file-%d", m, i), layerContent(i), 0o644))
		}
		unmount()
		ballast := dir + "/ballast"
		fill := func() {
			f, err := os.Create(ballast)
			must(t, err)
			defer f.Close()
			// Leave room for the database, not for the layer.
			var st unix.Statfs_t
			must(t, unix.Statfs(dir, &st))
			must(t, unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-4<<20))
		}
		operation := func() error { return s.Commit(ctx, "layer", "a") }
		if driver == Native {
			must(t, s.Commit(ctx, "layer", "a"))
			operation = func() error { return s.Create(ctx, snapshots.KindActive, "child", "layer") }
		}
		if driver != Overlay { // whose commit copies nothing
			fill()
			if err := operation(); !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("with a full disk: %v, want ENOSPC", err)
			}
			must(t, s.Cleanup(ctx))
			if driver == Native {
				clean(t, s)
			}
			must(t, os.Remove(ballast))
		}
		must(t, operation())
		clean(t, s)
	})
}
