package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// initCpuset fills cpuset.cpus and cpuset.mems of a v1 group, and of parents that have none
// yet, with those of the parent: a v1 cpuset that is empty takes no process (cpuset(7)). What
// the container brings itself (cpus, mems false) is filled in the parents only. fresh says that
// the directory was just made, so that there is nothing in it to look at.
func initCpuset(mount, path string, cpus, mems, fresh bool) error {
	for _, f := range []struct {
		file string
		own  bool
	}{{"cpuset.cpus", cpus}, {"cpuset.mems", mems}} {
		if len(path) <= len(mount) {
			continue
		}
		if !fresh && f.own {
			if _, err := fillCpuset(mount, path, f.file); err != nil {
				return err
			}
			continue
		}
		val, err := fillCpuset(mount, parentDir(path), f.file)
		if err == nil && f.own && val != "" {
			err = writeFile(path, f.file, val)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parentDir(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// fillCpuset returns the value of a cpuset file of dir, after taking it from the parent where
// it was empty.
func fillCpuset(mount, dir, file string) (string, error) {
	val, err := readFile(dir, file)
	if err != nil {
		return "", err
	}
	val = strings.TrimSpace(val)
	if val != "" || len(dir) <= len(mount) {
		return val, nil
	}
	if val, err = fillCpuset(mount, parentDir(dir), file); err != nil || val == "" {
		return val, err
	}
	return val, writeFile(dir, file, val)
}

// setCpuset sets the CPUs and memory nodes; the files have the same names on v1 and v2.
func setCpuset(dir string, cpu *specs.LinuxCPU) error {
	if cpu.Cpus != "" {
		if err := set("cpu.cpus", dir, "cpuset.cpus", cpu.Cpus); err != nil {
			return explainCpuset(err, dir, "cpuset.cpus")
		}
	}
	if cpu.Mems != "" {
		if err := set("cpu.mems", dir, "cpuset.mems", cpu.Mems); err != nil {
			return explainCpuset(err, dir, "cpuset.mems")
		}
	}
	return nil
}

// explainCpuset adds what the parent has to an errno that alone says little.
func explainCpuset(err error, dir, file string) error {
	var le *LimitError
	if !errors.As(err, &le) || !(errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE)) {
		return err
	}
	if have, rerr := readFile(parentDir(dir), file); rerr == nil {
		le.Err = fmt.Errorf("%w (the parent has %q)", le.Err, strings.TrimSpace(have))
	}
	return le
}

// maxCPU bounds the numbers of a cpuset list. The kernel's limit is 8192 CPUs and 1024 nodes.
const maxCPU = 8191

// checkList checks a list such as "0-3,7,8-15:2/4" (cpuset(7), "List format") without
// expanding it: "0-4294967295" must not cost time or memory.
func checkList(s string) error {
	if len(s) > 64<<10 {
		return errors.New("is longer than 64 KiB")
	}
	for item := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		r, stride, strided := strings.Cut(item, ":")
		lo, hi, ranged := strings.Cut(r, "-")
		a, err := listNumber(lo)
		if err != nil {
			return err
		}
		if ranged {
			b, err := listNumber(hi)
			if err != nil {
				return err
			}
			if b < a {
				return fmt.Errorf("has a range that goes down: %q", r)
			}
		}
		if strided {
			used, group, ok := strings.Cut(stride, "/")
			u, err1 := listNumber(used)
			n, err2 := listNumber(group)
			if !ranged || !ok || err1 != nil || err2 != nil || u > n || n == 0 {
				return fmt.Errorf("has a malformed stride: %q", item)
			}
		}
	}
	return nil
}

func listNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange) || (err == nil && n > maxCPU):
		return 0, fmt.Errorf("has the number %.20s, above the largest possible, %d", s, maxCPU)
	case err != nil:
		return 0, fmt.Errorf("has %q where a number is wanted", s)
	}
	return int(n), nil
}

// parseList expands a list that the kernel wrote.
func parseList(s string) []uint16 {
	var out []uint16
	for item := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		lo, hi, ranged := strings.Cut(item, "-")
		a, err := listNumber(lo)
		if err != nil {
			continue
		}
		b := a
		if ranged {
			if b, err = listNumber(hi); err != nil {
				continue
			}
		}
		for ; a <= b; a++ {
			out = append(out, uint16(a))
		}
	}
	return out
}

// statCpuset reads the v1 flags of a cpuset group. v2 has none of them.
func statCpuset(dir string, s *CPUSetStats) {
	if text, err := readFile(dir, "cpuset.cpus"); err == nil {
		s.CPUs = parseList(text)
	}
	if text, err := readFile(dir, "cpuset.mems"); err == nil {
		s.Mems = parseList(text)
	}
	for _, f := range []struct {
		file string
		to   *uint64
	}{
		{"cpuset.cpu_exclusive", &s.CPUExclusive},
		{"cpuset.mem_hardwall", &s.MemHardwall},
		{"cpuset.mem_exclusive", &s.MemExclusive},
		{"cpuset.memory_migrate", &s.MemoryMigrate},
		{"cpuset.memory_spread_page", &s.MemorySpreadPage},
		{"cpuset.memory_spread_slab", &s.MemorySpreadSlab},
		{"cpuset.memory_pressure", &s.MemoryPressure},
		{"cpuset.sched_load_balance", &s.SchedLoadBalance},
	} {
		*f.to, _ = readUint(dir, f.file)
	}
	if text, err := readFile(dir, "cpuset.sched_relax_domain_level"); err == nil {
		s.SchedRelaxDomainLevel, _ = strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	}
}
