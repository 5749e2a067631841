package build

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Sweep takes away what a killed hulld left of builds: mounts of results, files of instructions. Their
// containers, which no record claims, the engine ends.
func (b *Builder) Sweep() error {
	var errs []error
	if !b.exists() {
		return nil
	}
	mounts, err := b.leftMounts()
	errs = append(errs, err)
	for _, m := range mounts {
		if err := unix.Unmount(m, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			errs = append(errs, &os.PathError{Op: "umount", Path: m, Err: err})
			continue
		}
		errs = append(errs, os.Remove(m))
	}
	// Directories without a mount: what is in them is nothing.
	for _, pattern := range []string{filepath.Join(b.mountsDir(), "*"), filepath.Join(os.TempDir(), "buildkit-mount*"), filepath.Join(os.TempDir(), "buildkit-secrets*")} {
		left, _ := filepath.Glob(pattern)
		for _, dir := range left {
			_ = os.Remove(dir) // fails if it is not empty: then it is not ours
		}
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(b.c.StateDir, "build")))...)
}

// leftMounts are the mounts, the last first, in the directory for results and, of files of this
// data root, where BuildKit's library mounts for a moment.
func (b *Builder) leftMounts() (out []string, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("looking for mounts that builds left: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	temp := filepath.Join(os.TempDir(), "buildkit-")
	for in.Scan() {
		fields := strings.Fields(in.Text())
		if len(fields) < 10 {
			continue
		}
		at := fields[4]
		switch {
		case strings.HasPrefix(at, b.mountsDir()+"/"):
		case strings.HasPrefix(at, temp) && strings.Contains(in.Text(), b.c.DataRoot+"/snapshots/"):
		default:
			continue
		}
		out = append([]string{at}, out...)
	}
	return out, in.Err()
}
