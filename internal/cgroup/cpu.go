package cgroup

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cpuFields reports whether a limit of the cpu controller is set, and the first such field.
func cpuFields(c *specs.LinuxCPU) (string, bool) {
	switch {
	case c == nil:
	case isSetU(c.Shares):
		return "cpu.shares", true
	case isSet(c.Quota):
		return "cpu.quota", true
	case isSetU(c.Period):
		return "cpu.period", true
	case c.Burst != nil:
		return "cpu.burst", true
	case isSetU(c.RealtimePeriod):
		return "cpu.realtimePeriod", true
	case isSet(c.RealtimeRuntime):
		return "cpu.realtimeRuntime", true
	case c.Idle != nil:
		return "cpu.idle", true
	}
	return "", false
}

func isSetU(p *uint64) bool { return p != nil && *p != 0 }

const (
	minShares = 2      // kernel/sched: MIN_SHARES
	maxShares = 262144 // MAX_SHARES
)

func setCPUV1(dir string, c *specs.LinuxCPU) error {
	// The kernel refuses shares for an idle group: leave idle first, enter it last.
	if c.Idle != nil && *c.Idle == 0 {
		if err := set("cpu.idle", dir, "cpu.idle", "0"); err != nil {
			return err
		}
	}
	if isSetU(c.Shares) {
		// The kernel would silently clamp.
		if *c.Shares < minShares {
			return &LimitError{Field: "cpu.shares", Err: fmt.Errorf("the minimum allowed cpu-shares is %d", minShares)}
		}
		if *c.Shares > maxShares {
			return &LimitError{Field: "cpu.shares", Err: fmt.Errorf("the maximum allowed cpu-shares is %d", maxShares)}
		}
		if err := set("cpu.shares", dir, "cpu.shares", strconv.FormatUint(*c.Shares, 10)); err != nil {
			return err
		}
	}
	if c.Idle != nil && *c.Idle != 0 {
		if err := set("cpu.idle", dir, "cpu.idle", strconv.FormatInt(*c.Idle, 10)); err != nil {
			return err
		}
	}
	if err := setQuotaV1(dir, c); err != nil {
		return err
	}
	if isSetU(c.RealtimePeriod) {
		if err := set("cpu.realtimePeriod", dir, "cpu.rt_period_us", strconv.FormatUint(*c.RealtimePeriod, 10)); err != nil {
			return err
		}
	}
	if isSet(c.RealtimeRuntime) {
		return set("cpu.realtimeRuntime", dir, "cpu.rt_runtime_us", strconv.FormatInt(*c.RealtimeRuntime, 10))
	}
	return nil
}

// setQuotaV1 sets period, quota and burst. The kernel checks each write against the others and
// the parent's quota (EINVAL), so that one which only fits the new quota is tried again after it.
func setQuotaV1(dir string, c *specs.LinuxCPU) error {
	period := func() error {
		if !isSetU(c.Period) {
			return nil
		}
		return set("cpu.period", dir, "cpu.cfs_period_us", strconv.FormatUint(*c.Period, 10))
	}
	burst := func() error {
		if c.Burst == nil {
			return nil
		}
		return set("cpu.burst", dir, "cpu.cfs_burst_us", strconv.FormatUint(*c.Burst, 10))
	}
	quota := isSet(c.Quota)
	perr := period()
	if perr != nil && !(quota && errors.Is(perr, unix.EINVAL)) {
		return perr
	}
	berr := burst()
	if berr != nil && !((quota || perr != nil) && errors.Is(berr, unix.EINVAL)) {
		return berr
	}
	if quota {
		if err := set("cpu.quota", dir, "cpu.cfs_quota_us", strconv.FormatInt(*c.Quota, 10)); err != nil {
			return err
		}
	}
	if perr != nil {
		if err := period(); err != nil {
			return err
		}
	}
	if berr != nil {
		return burst()
	}
	return nil
}

// Weight converts cpu.shares of v1 (2 to 262144, default 1024) to cpu.weight of v2 (1 to
// 10000, default 100) by a curve through both ends and the default. 0 stays 0, "unset".
func Weight(shares uint64) uint64 {
	switch {
	case shares == 0:
		return 0
	case shares <= minShares:
		return 1
	case shares >= maxShares:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// maxV2 returns what to write into cpu.max, "quota period" in microseconds. Each of the two
// that is not given stays as it is.
func maxV2(dir string, c *specs.LinuxCPU) (field, v string, err error) {
	field, quota := "cpu.quota", "max"
	switch {
	case val(c.Quota) > 0:
		quota = strconv.FormatInt(*c.Quota, 10)
	case !isSet(c.Quota):
		field = "cpu.period"
		text, err := readFile(dir, "cpu.max")
		if err != nil {
			return field, "", &LimitError{Field: field, Err: err}
		}
		if f := strings.Fields(text); len(f) > 0 {
			quota = f[0]
		}
	}
	if !isSetU(c.Period) {
		return field, quota, nil // the kernel keeps the period
	}
	return field, quota + " " + strconv.FormatUint(*c.Period, 10), nil
}

func setCPUV2(dir string, c *specs.LinuxCPU) error {
	if isSetU(c.RealtimePeriod) {
		return &LimitError{Field: "cpu.realtimePeriod", Err: errNotOnV2}
	}
	if isSet(c.RealtimeRuntime) {
		return &LimitError{Field: "cpu.realtimeRuntime", Err: errNotOnV2}
	}
	if c.Idle != nil && *c.Idle == 0 {
		if err := set("cpu.idle", dir, "cpu.idle", "0"); err != nil {
			return err
		}
	}
	if isSetU(c.Shares) && !(c.Idle != nil && *c.Idle != 0) {
		if err := set("cpu.shares", dir, "cpu.weight", strconv.FormatUint(Weight(*c.Shares), 10)); err != nil {
			return err
		}
	}
	if c.Idle != nil && *c.Idle != 0 {
		if err := set("cpu.idle", dir, "cpu.idle", strconv.FormatInt(*c.Idle, 10)); err != nil {
			return err
		}
	}
	burst := func() error {
		if c.Burst == nil {
			return nil
		}
		return set("cpu.burst", dir, "cpu.max.burst", strconv.FormatUint(*c.Burst, 10))
	}
	limits := isSet(c.Quota) || isSetU(c.Period)
	berr := burst()
	if berr != nil && !(limits && errors.Is(berr, unix.EINVAL)) {
		return berr
	}
	if limits {
		field, v, err := maxV2(dir, c)
		if err == nil {
			err = set(field, dir, "cpu.max", v)
		}
		if err != nil {
			return err
		}
	}
	if berr != nil {
		return burst()
	}
	return nil
}

// statCPU reads cpu.stat: throttling on v1, times too on v2.
func statCPU(dir string, v2 bool, s *CPUStats) error {
	text, err := readFile(dir, "cpu.stat")
	if err != nil {
		return err
	}
	eachKey(text, func(key string, n uint64) {
		switch key {
		case "nr_periods":
			s.Throttling.Periods = n
		case "nr_throttled":
			s.Throttling.ThrottledPeriods = n
		case "throttled_time":
			s.Throttling.ThrottledTime = n
		case "throttled_usec":
			s.Throttling.ThrottledTime = n * 1000
		}
		if !v2 {
			return
		}
		switch key {
		case "usage_usec":
			s.Usage.Total = n * 1000
		case "user_usec":
			s.Usage.User = n * 1000
		case "system_usec":
			s.Usage.Kernel = n * 1000
		}
	})
	return nil
}

// nsPerTick: the files of cpuacct count in USER_HZ, 100 on every architecture that Go runs on.
const nsPerTick = 1e9 / 100

func statCPUAcct(dir string, s *CPUUsage) error {
	var err error
	if s.Total, err = readUint(dir, "cpuacct.usage"); err != nil {
		return err
	}
	if text, err := readFile(dir, "cpuacct.stat"); err == nil {
		eachKey(text, func(key string, n uint64) {
			switch key {
			case "user":
				s.User = n * nsPerTick
			case "system":
				s.Kernel = n * nsPerTick
			}
		})
	}
	if text, err := readFile(dir, "cpuacct.usage_percpu"); err == nil {
		for f := range strings.FieldsSeq(text) {
			if n, err := strconv.ParseUint(f, 10, 64); err == nil {
				s.Percpu = append(s.Percpu, n)
			}
		}
	}
	if text, err := readFile(dir, "cpuacct.usage_all"); err == nil {
		for line := range strings.Lines(text) { // "cpu user system", then "0 123 456"
			f := strings.Fields(line)
			if len(f) != 3 || f[0] == "cpu" {
				continue
			}
			user, err1 := strconv.ParseUint(f[1], 10, 64)
			kernel, err2 := strconv.ParseUint(f[2], 10, 64)
			if err1 == nil && err2 == nil {
				s.PercpuUser = append(s.PercpuUser, user)
				s.PercpuKernel = append(s.PercpuKernel, kernel)
			}
		}
	}
	return nil
}
