package cgroup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// memoryFields reports whether a memory limit is set that needs the controller, and the name
// of the first such field.
func memoryFields(m *specs.LinuxMemory) (string, bool) {
	switch {
	case m == nil:
	case isSet(m.Limit):
		return "memory.limit", true
	case isSet(m.Swap):
		return "memory.swap", true
	case isSet(m.Reservation):
		return "memory.reservation", true
	case m.Swappiness != nil && int64(*m.Swappiness) != -1:
		return "memory.swappiness", true
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return "memory.disableOOMKiller", true
	case m.UseHierarchy != nil && *m.UseHierarchy:
		return "memory.useHierarchy", true
	}
	return "", false
}

// isSet: a limit of 0 bytes is the absence of one, as in runc.
func isSet(p *int64) bool { return p != nil && *p != 0 }

func val(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// checkUsage is memory.checkBeforeUpdate: refuse a limit that is below what is in use.
func checkUsage(dir, file string, m *specs.LinuxMemory) error {
	if m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate {
		return nil
	}
	usage, err := readUint(dir, file)
	if err != nil {
		return nil // best effort: the kernel has the last word
	}
	if limit := val(m.Swap); limit > 0 && uint64(limit) <= usage {
		return &LimitError{Field: "memory.swap", Err: fmt.Errorf("memory+swap limit %d is not above the usage, %d bytes", limit, usage)}
	}
	if limit := val(m.Limit); limit > 0 && uint64(limit) <= usage {
		return &LimitError{Field: "memory.limit", Err: fmt.Errorf("memory limit %d is not above the usage, %d bytes", limit, usage)}
	}
	return nil
}

const (
	memLimitV1 = "memory.limit_in_bytes"
	memswV1    = "memory.memsw.limit_in_bytes"
)

func setMemoryV1(dir string, m *specs.LinuxMemory, update bool) error {
	if m.UseHierarchy != nil && *m.UseHierarchy {
		// Always 1 since Linux 5.11; must come before any child and limit on older ones.
		if err := set("memory.useHierarchy", dir, "memory.use_hierarchy", "1"); err != nil {
			return err
		}
	}
	if err := checkUsage(dir, "memory.usage_in_bytes", m); err != nil {
		return err
	}
	if err := setMemoryAndSwapV1(dir, val(m.Limit), val(m.Swap)); err != nil {
		return err
	}
	if isSet(m.Reservation) {
		if err := set("memory.reservation", dir, "memory.soft_limit_in_bytes", strconv.FormatInt(*m.Reservation, 10)); err != nil {
			return err
		}
	}
	if m.DisableOOMKiller != nil && (*m.DisableOOMKiller || update) {
		v := "0"
		if *m.DisableOOMKiller {
			v = "1"
		}
		if err := set("memory.disableOOMKiller", dir, "memory.oom_control", v); err != nil {
			return err
		}
	}
	if m.Swappiness != nil && int64(*m.Swappiness) != -1 {
		return set("memory.swappiness", dir, "memory.swappiness", strconv.FormatUint(*m.Swappiness, 10))
	}
	return nil
}

// setMemoryAndSwapV1 keeps the kernel's rule limit ≤ memsw at every step. A limit that grows
// beyond the present memsw is refused with EINVAL: then memsw goes first.
func setMemoryAndSwapV1(dir string, limit, swap int64) error {
	setLimit := func() error {
		if limit == 0 {
			return nil
		}
		err := set("memory.limit", dir, memLimitV1, strconv.FormatInt(limit, 10))
		if errors.Is(err, unix.EBUSY) {
			usage, _ := readUint(dir, "memory.usage_in_bytes")
			peak, _ := readUint(dir, "memory.max_usage_in_bytes")
			return &LimitError{Field: "memory.limit", Value: strconv.FormatInt(limit, 10),
				Err: fmt.Errorf("it is below the present usage, %d bytes (peak %d)", usage, peak)}
		}
		return err
	}
	setSwap := func() error {
		if swap == 0 {
			return nil
		}
		return set("memory.swap", dir, memswV1, strconv.FormatInt(swap, 10))
	}
	if limit == -1 && swap == 0 {
		// "No memory limit" includes the sum, where the kernel accounts swap.
		if err := writeFile(dir, memswV1, "-1"); err != nil && !isAbsent(err) {
			return &LimitError{Field: "memory.limit", Value: "-1", Err: err}
		}
		return setLimit()
	}
	err := setLimit()
	if err == nil {
		return setSwap()
	}
	if swap == 0 || !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := setSwap(); err != nil {
		return err
	}
	return setLimit()
}

// swapV2 converts memory+swap, as config.json and v1 have it, to swap alone. "" is unset.
func swapV2(limit, swap int64) (string, error) {
	switch {
	case limit == -1 && swap == 0, swap == -1:
		return "max", nil
	case swap == 0:
		return "", nil
	case limit == -1:
		return strconv.FormatInt(swap, 10), nil
	case limit == 0:
		return "", errors.New("a memory+swap limit needs a memory limit on cgroup v2")
	case swap < limit:
		return "", fmt.Errorf("memory+swap limit %d is below the memory limit %d", swap, limit)
	}
	return strconv.FormatInt(swap-limit, 10), nil
}

// numV2 is a number as v2 files take it: -1 is "max".
func numV2(n int64) string {
	if n < 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

func setMemoryV2(dir string, m *specs.LinuxMemory) error {
	if m.Swappiness != nil && int64(*m.Swappiness) != -1 {
		return &LimitError{Field: "memory.swappiness", Err: errNotOnV2}
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		return &LimitError{Field: "memory.disableOOMKiller", Err: errNotOnV2}
	}
	if err := checkUsage(dir, "memory.current", m); err != nil {
		return err
	}
	swap, err := swapV2(val(m.Limit), val(m.Swap))
	if err != nil {
		return &LimitError{Field: "memory.swap", Err: err}
	}
	if swap != "" {
		err := set("memory.swap", dir, "memory.swap.max", swap)
		// Without swap accounting there is no swap to limit: "none" and "any" both hold.
		if err != nil && !(isAbsent(err) && (swap == "max" || swap == "0")) {
			return err
		}
	}
	if isSet(m.Limit) {
		if err := set("memory.limit", dir, "memory.max", numV2(*m.Limit)); err != nil {
			return err
		}
	}
	if isSet(m.Reservation) {
		return set("memory.reservation", dir, "memory.low", numV2(*m.Reservation))
	}
	return nil
}

var errNotOnV2 = errors.New("cgroup v2 has no such limit")

func statMemoryV1(dir string, s *MemoryStats) error {
	if err := memoryRaw(dir, "cache", s); err != nil {
		return err
	}
	for _, e := range []struct {
		prefix string
		to     *MemoryEntry
	}{{"memory", &s.Usage}, {"memory.memsw", &s.Swap}, {"memory.kmem", &s.Kernel}, {"memory.kmem.tcp", &s.KernelTCP}} {
		usage, err := readUint(dir, e.prefix+".usage_in_bytes")
		if isAbsent(err) {
			continue // swap and kernel accounting are optional
		}
		if err != nil {
			return err
		}
		e.to.Usage = usage
		e.to.Max, _ = readUint(dir, e.prefix+".max_usage_in_bytes")
		e.to.Failcnt, _ = readUint(dir, e.prefix+".failcnt")
		e.to.Limit, _ = readUint(dir, e.prefix+".limit_in_bytes")
	}
	return nil
}

// memoryRaw reads memory.stat, sorted by name; cacheKey is the one that counts page cache.
func memoryRaw(dir, cacheKey string, s *MemoryStats) error {
	text, err := readFile(dir, "memory.stat")
	if err != nil {
		return err
	}
	eachKey(text, func(key string, n uint64) {
		s.Raw = append(s.Raw, RawStat{key, n})
		if key == cacheKey {
			s.Cache = n
		}
	})
	slices.SortFunc(s.Raw, func(a, b RawStat) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// statMemoryV2 fills in the v1 view: Swap is memory+swap, its Max cannot be known.
func statMemoryV2(dir string, s *MemoryStats) error {
	if err := memoryRaw(dir, "file", s); err != nil {
		return err
	}
	var err error
	if s.Usage.Usage, err = readUint(dir, "memory.current"); err != nil {
		return err
	}
	if s.Usage.Limit, err = readUint(dir, "memory.max"); err != nil {
		return err
	}
	s.Usage.Max, _ = readUint(dir, "memory.peak") // since Linux 5.19
	usage, err := readUint(dir, "memory.swap.current")
	if err != nil {
		usage = 0
	}
	limit, err := readUint(dir, "memory.swap.max")
	if err != nil {
		limit = 0
	}
	s.Swap = MemoryEntry{Usage: usage + s.Usage.Usage, Limit: limit}
	if limit != 1<<64-1 {
		if s.Swap.Limit += s.Usage.Limit; s.Swap.Limit < limit { // the memory limit is "max"
			s.Swap.Limit = 1<<64 - 1
		}
	}
	return nil
}
