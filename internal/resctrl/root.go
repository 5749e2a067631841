package resctrl

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const usualRoot = "/sys/fs/resctrl"

// ErrNotMounted: the kernel or the machine has no resctrl, or nobody has mounted it.
var ErrNotMounted = errors.New("linux.intelRdt: no resctrl file system is mounted")

// Root is where resctrl is mounted.
func Root() (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(usualRoot, &st); err == nil && st.Type == unix.RDTGROUP_SUPER_MAGIC {
		return usualRoot, nil
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	if root := mountPoint(string(b)); root != "" {
		return root, nil
	}
	return "", ErrNotMounted
}

// mountPoint finds resctrl in the text of a mountinfo file (proc_pid_mountinfo(5)).
func mountPoint(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		mount, fs, _ := strings.Cut(line, " - ")
		if f := strings.Fields(mount); strings.HasPrefix(fs, "resctrl ") && len(f) > 4 {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		}
	}
	return ""
}
