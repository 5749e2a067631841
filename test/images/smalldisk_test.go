package images

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startOnDisk starts hulld with its data on an ext4 file system of its own, mib MiB large, in the mount namespace of
// hulld alone: it goes with the process.
func startOnDisk(t *testing.T, dir, driver string, mib int) *daemon {
	t.Helper()
	img := filepath.Join(dir, "disk")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(img)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Truncate(int64(mib) << 20)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", img).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v %s", err, out)
	}
	return reopenDisk(t, dir, driver)
}

// reopenDisk starts hulld on the disk of startOnDisk again.
func reopenDisk(t *testing.T, dir, driver string) *daemon {
	t.Helper()
	d := &daemon{name: "hulld", dir: dir, driver: driver, disk: true, socket: filepath.Join(dir, "run", "hull.sock")}
	d.start(t, os.Environ(), "sh", "-c", fmt.Sprintf("mount --make-rprivate / && mount -o loop %[1]s/disk %[1]s/data && exec %[2]s --data-root %[1]s/data --state-dir %[1]s/run --snapshotter %[3]s --log-level debug", dir, program(t, "hulld"), driver))
	return d
}

// dataDir is hulld's data root, seen from outside of its mount namespace.
func (d *daemon) dataDir() string {
	if !d.disk {
		return filepath.Join(d.dir, "data")
	}
	return fmt.Sprintf("/proc/%d/root%s/data", d.cmd.Process.Pid, d.dir)
}

// used is how much of the disk is in use, in bytes.
func (d *daemon) used(t *testing.T) int64 {
	st := d.statfs(t)
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// free is how much of the disk is left, in bytes.
func (d *daemon) free(t *testing.T) int64 {
	st := d.statfs(t)
	return int64(st.Bavail) * st.Bsize
}

// watchFree looks at the free space until least is called, which says how little it was.
func (d *daemon) watchFree(t *testing.T) (least func() int64) {
	done, result := make(chan struct{}), make(chan int64)
	dir := d.dataDir()
	go func() {
		low := int64(1 << 62)
		for {
			var st syscall.Statfs_t
			if syscall.Statfs(dir, &st) == nil {
				low = min(low, int64(st.Bavail)*st.Bsize)
			}
			select {
			case <-done:
				result <- low
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() int64 { close(done); return <-result }
}

func (d *daemon) statfs(t *testing.T) (st syscall.Statfs_t) {
	t.Helper()
	if err := syscall.Statfs(d.dataDir(), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// backTo waits until the disk has as little on it as it had, but for a MiB of database.
func (d *daemon) backTo(t *testing.T, before int64) {
	t.Helper()
	var now int64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if now = d.used(t); now <= before+1<<20 {
			return
		}
	}
	t.Errorf("%d KiB of the disk are in use, %d KiB were before: %v %v", now>>10, before>>10,
		files(t, d.dataDir()+"/meta/content/blobs/sha256"), files(t, d.dataDir()+"/meta/content/ingest"))
}
