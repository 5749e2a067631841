package cgroup

import (
	"fmt"
	"slices"
	"strings"
)

// mount is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)):
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//	           root  point              optional   type source    super options
type mount struct {
	root, point, fs, options string
}

func parseMountLine(line string) (m mount, ok bool) {
	left, right, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
	if !ok {
		return m, false
	}
	l, r := strings.Fields(left), strings.Fields(right)
	if len(l) < 6 || len(r) < 3 {
		return m, false
	}
	return mount{root: unescape(l[3]), point: unescape(l[4]), fs: r[0], options: r[2]}, true
}

// unescape undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			n, octal := 0, true
			for _, c := range []byte(s[i+1 : i+4]) {
				octal = octal && c >= '0' && c <= '7'
				n = n*8 + int(c-'0')
			}
			if octal && n < 256 {
				b, i = append(b, byte(n)), i+3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// fromMountinfo is the slow way, for layouts that are not the usual one: it takes the first
// mount of each hierarchy.
func (h *Host) fromMountinfo(path string) error {
	mounts, err := cgroupMounts(path)
	if err != nil {
		return err
	}
	for _, c := range controllersV1() {
		for _, m := range mounts {
			if m.fs != "cgroup" || !slices.Contains(strings.Split(m.options, ","), c) {
				continue
			}
			i := slices.IndexFunc(h.Hierarchies, func(hi Hierarchy) bool { return hi.Mount == m.point })
			if i >= 0 {
				h.Hierarchies[i].Controllers = append(h.Hierarchies[i].Controllers, c)
			} else {
				h.Hierarchies = append(h.Hierarchies, Hierarchy{Controllers: []string{c}, Mount: m.point})
			}
			break
		}
	}
	for _, m := range mounts {
		if m.fs == "cgroup2" {
			h.Hierarchies = append(h.Hierarchies, Hierarchy{V2: true, Mount: m.point})
			break
		}
	}
	return nil
}

// mountRoot returns which directory of its hierarchy is mounted at the mount point.
func (h *Host) mountRoot(hi *Hierarchy) (string, error) {
	mounts, err := cgroupMounts(h.procSelf + "/mountinfo")
	if err != nil {
		return "", err
	}
	for _, m := range slices.Backward(mounts) { // the last mount on a point is the visible one
		if m.point == hi.Mount {
			return m.root, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s/mountinfo", hi.Mount, h.procSelf)
}

func cgroupMounts(path string) ([]mount, error) {
	i := strings.LastIndexByte(path, '/')
	text, err := readLong(path[:i], path[i+1:])
	if err != nil {
		return nil, fmt.Errorf("find the cgroup mounts: %w", err)
	}
	var list []mount
	for line := range strings.Lines(text) {
		if m, ok := parseMountLine(line); ok && (m.fs == "cgroup" || m.fs == "cgroup2") {
			list = append(list, m)
		}
	}
	return list, nil
}
