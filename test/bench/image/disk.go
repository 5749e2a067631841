package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a new ext4 file system in a file.
type disk struct {
	file, loop, dir string
}

// diskSize is sparse: what is not written takes no room.
const diskSize = 8 << 30

// newDisk makes the file system below dir and mounts it.
func newDisk(dir string) (_ *disk, err error) {
	d := &disk{file: filepath.Join(dir, "disk"), dir: filepath.Join(dir, "data")}
	f, err := os.OpenFile(d.file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	err = f.Truncate(diskSize)
	f.Close()
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.file).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	out, err := exec.Command("losetup", "--direct-io=on", "--show", "-f", d.file).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("losetup: %w: %s", err, out)
	}
	d.loop = strings.TrimSpace(string(out))
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, err
	}
	// Without noinit_itable a kernel thread writes inode tables in the background.
	if err := syscall.Mount(d.loop, d.dir, "ext4", 0, "noinit_itable"); err != nil {
		return nil, fmt.Errorf("mounting %s: %w", d.loop, err)
	}
	return d, nil
}

// written is how many bytes were written to the device.
func (d *disk) written() int64 {
	data, err := os.ReadFile("/sys/block/" + filepath.Base(d.loop) + "/stat")
	fields := strings.Fields(string(data))
	if err != nil || len(fields) < 7 {
		return 0
	}
	sectors, _ := strconv.ParseInt(fields[6], 10, 64)
	return sectors * 512
}

// sync writes everything back and returns how long that took.
func (d *disk) sync() time.Duration {
	f, err := os.Open(d.dir)
	if err != nil {
		return 0
	}
	defer f.Close()
	start := time.Now()
	_ = unix.Syncfs(int(f.Fd()))
	return time.Since(start)
}

// used is how many bytes of the file system are in use.
func (d *disk) used() int64 {
	d.sync()
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return 0
	}
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize)
}

// close unmounts what the engine left mounted below, then the file system, and deletes it.
func (d *disk) close() {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	var below []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], d.dir+"/") {
			below = append(below, f[1])
		}
	}
	for i := len(below) - 1; i >= 0; i-- {
		_ = syscall.Unmount(below[i], syscall.MNT_DETACH)
	}
	for range 100 {
		if err := syscall.Unmount(d.dir, 0); err != syscall.EBUSY {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Unmount(d.dir, syscall.MNT_DETACH)
	if d.loop != "" {
		_ = exec.Command("losetup", "-d", d.loop).Run()
	}
	os.Remove(d.file)
	os.Remove(d.dir)
}
