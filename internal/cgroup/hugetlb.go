package cgroup

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// setHugetlb limits huge pages of one size, and their reservations where the kernel can
// (hugetlb.SIZE.rsvd.*, since Linux 5.7): without that a process gets SIGBUS at the first
// touch instead of an error from mmap.
func setHugetlb(dir string, v2 bool, l specs.LinuxHugepageLimit) error {
	suffix := ".limit_in_bytes"
	if v2 {
		suffix = ".max"
	}
	v := strconv.FormatUint(l.Limit, 10)
	if err := set("hugepageLimits", dir, "hugetlb."+l.Pagesize+suffix, v); err != nil {
		return err
	}
	err := set("hugepageLimits", dir, "hugetlb."+l.Pagesize+".rsvd"+suffix, v)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// checkPageSize accepts what the kernel writes in file names: 64KB, 2MB, 1GB.
func checkPageSize(s string) bool {
	n, ok := strings.CutSuffix(s, "B")
	if !ok || len(n) < 2 || n[0] == '0' || !strings.Contains("KMG", n[len(n)-1:]) {
		return false
	}
	_, err := strconv.ParseUint(n[:len(n)-1], 10, 32)
	return err == nil && n[0] != '+'
}

// statHugetlb reads every page size that the directory has files for.
func statHugetlb(dir string, v2 bool, s *Stats) error {
	usage, limit := ".usage_in_bytes", ".limit_in_bytes"
	if v2 {
		usage, limit = ".current", ".max"
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		size, ok := strings.CutPrefix(name, "hugetlb.")
		if !ok {
			continue
		}
		if size, ok = strings.CutSuffix(size, limit); !ok || !checkPageSize(size) {
			continue
		}
		// Reservations are the number that the limit is checked against, where they exist.
		prefix := "hugetlb." + size + ".rsvd"
		n, err := readUint(dir, prefix+usage)
		if isAbsent(err) {
			prefix = "hugetlb." + size
			n, err = readUint(dir, prefix+usage)
		}
		if err != nil {
			return err
		}
		e := HugetlbStats{Size: size, Usage: n}
		if v2 {
			if text, err := readFile(dir, "hugetlb."+size+".events"); err == nil {
				e.Failcnt, _ = keyOf(text, "max")
			}
		} else {
			e.Max, _ = readUint(dir, prefix+".max_usage_in_bytes")
			e.Failcnt, _ = readUint(dir, prefix+".failcnt")
		}
		s.Hugetlb = append(s.Hugetlb, e)
	}
	return nil
}
