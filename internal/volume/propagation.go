package volume

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// CheckPropagation refuses a propagation that the mount which a bind's source is on cannot give, with Docker's texts:
// shared needs a shared mount, slave a shared or slave one. path is for the message.
func CheckPropagation(source *os.File, path, propagation string) error {
	kind := strings.TrimPrefix(propagation, "r")
	if kind != "shared" && kind != "slave" {
		return nil
	}
	point, optional, err := mountOf(source)
	if err != nil {
		return err
	}
	shared, slave := strings.Contains(optional, "shared:"), strings.Contains(optional, "master:")
	switch {
	case shared || kind == "slave" && slave:
		return nil
	case kind == "slave":
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("path %s is mounted on %s but it is not a shared or slave mount", path, point))
	}
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("path %s is mounted on %s but it is not a shared mount", path, point))
}

// mountOf finds the mount point of the mount that a file is on, and its optional fields (proc(5), mountinfo).
func mountOf(f *os.File) (point, optional string, err error) {
	var st unix.Statx_t
	err = linux.Retry(func() error { return unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st) })
	if err != nil {
		return "", "", fmt.Errorf("statx %s: %w", f.Name(), err)
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	return findMount(string(b), st.Mnt_id, f.Name())
}

func findMount(mountinfo string, id uint64, name string) (point, optional string, err error) {
	for line := range strings.Lines(mountinfo) {
		before, _, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 6 || f[0] != strconv.FormatUint(id, 10) {
			continue
		}
		return f[4], strings.Join(f[6:], " "), nil
	}
	return "", "", fmt.Errorf("Can't find mount point of %s", name)
}
