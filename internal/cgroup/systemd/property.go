package systemd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

// Property is one setting of a unit.
type Property struct {
	Name  string
	Value dbus.Value
}

func (p Property) wire() dbus.Value {
	return dbus.Struct(dbus.String(p.Name), dbus.Variant(p.Value))
}

const infinity = math.MaxUint64 // as systemd writes "no limit"

// Versions of systemd that brought properties.
const (
	sinceDeviceMajor = 240 // DeviceAllow=char-MAJOR
	sincePeriod      = 242 // CPUQuotaPeriodUSec
	sinceAllowedCPUs = 244 // AllowedCPUs, AllowedMemoryNodes
	sinceCPUIdle     = 252 // CPUWeight=0
)

// properties collects the settings that a list of limits comes to.
type properties struct {
	list    []Property
	version int
}

func (p *properties) add(name string, v dbus.Value) {
	p.list = append(p.list, Property{name, v})
}

func (p *properties) num(name string, n uint64) { p.add(name, dbus.Uint64(n)) }

// unitProperties are those that a unit is started with.
func unitProperties(u Unit, pid int, v2 bool, r *specs.LinuxResources) []Property {
	p := &properties{}
	p.add("Description", dbus.String("container "+u.ID))
	if u.IsSlice() {
		p.add("Wants", dbus.Strings(u.Slice)) // a slice's parent is in its name
	} else {
		p.add("Slice", dbus.String(u.Slice))
		p.add("Delegate", dbus.Bool(true))
	}
	if pid > 0 {
		p.add("PIDs", dbus.Array("u", dbus.Uint32(uint32(pid))))
	}
	io := "BlockIOAccounting"
	if v2 {
		io = "IOAccounting"
	}
	// Accounting makes systemd enable the controllers, which the files need.
	for _, name := range []string{"MemoryAccounting", "CPUAccounting", io, "TasksAccounting"} {
		p.add(name, dbus.Bool(true))
	}
	// Otherwise the unit would wait for the boot and end with the shutdown's first step.
	p.add("DefaultDependencies", dbus.Bool(false))
	if r != nil && v2 {
		switch strings.TrimSpace(r.Unified["memory.oom.group"]) {
		case "0":
			p.add("OOMPolicy", dbus.String("continue"))
		case "1":
			p.add("OOMPolicy", dbus.String("kill"))
		}
	}
	return p.list
}

// resourceProperties are the limits, in systemd's terms. devices tells whether to set the
// device policy too, which an update must not.
func resourceProperties(r *specs.LinuxResources, v2, devices bool, version int) ([]Property, error) {
	p := &properties{version: version}
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if devices {
		if err := p.devices(r.Devices); err != nil {
			return nil, err
		}
	}
	p.memory(r.Memory, v2)
	if err := p.cpu(r.CPU, v2); err != nil {
		return nil, err
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		n := uint64(infinity)
		if *r.Pids.Limit > 0 {
			n = uint64(*r.Pids.Limit)
		}
		p.num("TasksMax", n)
	}
	if b := r.BlockIO; b != nil && b.Weight != nil && *b.Weight != 0 && !v2 {
		p.num("BlockIOWeight", uint64(*b.Weight))
	}
	if v2 {
		if err := p.unified(r.Unified); err != nil {
			return nil, err
		}
	}
	return p.list, nil
}

func deref(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func (p *properties) memory(m *specs.LinuxMemory, v2 bool) {
	if m == nil {
		return
	}
	limit, swap := deref(m.Limit), deref(m.Swap)
	// -1 is all ones, systemd's infinity.
	if limit != 0 {
		if v2 {
			p.num("MemoryMax", uint64(limit))
		} else {
			p.num("MemoryLimit", uint64(limit))
		}
	}
	if !v2 {
		return
	}
	if n := deref(m.Reservation); n != 0 {
		p.num("MemoryLow", uint64(n))
	}
	switch {
	case limit == -1 && swap == 0, swap == -1:
		p.num("MemorySwapMax", infinity)
	case swap != 0 && limit == -1:
		p.num("MemorySwapMax", uint64(swap))
	case swap > 0 && limit > 0 && swap >= limit: // else the file's error says what is wrong
		p.num("MemorySwapMax", uint64(swap-limit))
	}
}

func (p *properties) cpu(c *specs.LinuxCPU, v2 bool) error {
	if c == nil {
		return nil
	}
	idle := v2 && c.Idle != nil && *c.Idle == 1 && p.version >= sinceCPUIdle
	if idle {
		p.num("CPUWeight", 0)
	}
	if c.Shares != nil && *c.Shares != 0 && !idle {
		if v2 {
			p.num("CPUWeight", cgroup.Weight(*c.Shares))
		} else {
			p.num("CPUShares", *c.Shares)
		}
	}
	var period uint64
	if c.Period != nil {
		period = *c.Period
	}
	p.quota(deref(c.Quota), period)
	if err := p.cpuset("AllowedCPUs", c.Cpus); err != nil {
		return fmt.Errorf("linux.resources.cpu.cpus: %w", err)
	}
	if err := p.cpuset("AllowedMemoryNodes", c.Mems); err != nil {
		return fmt.Errorf("linux.resources.cpu.mems: %w", err)
	}
	return nil
}

// quota converts µs in each period to µs in each second. systemd keeps a whole percentage, so
// that this is rounded up to one: a group below may then still have what was asked for.
func (p *properties) quota(quota int64, period uint64) {
	if period != 0 && p.version >= sincePeriod {
		p.num("CPUQuotaPeriodUSec", period)
	}
	if quota == 0 && period == 0 {
		return
	}
	perSec := uint64(infinity)
	if quota > 0 {
		if period == 0 {
			period = 100000
		}
		if uint64(quota) > math.MaxUint64/1000000 {
			perSec = infinity - 1
		} else {
			perSec = uint64(quota) * 1000000 / period
		}
		const percent = 10000
		if r := perSec % percent; r != 0 && perSec < infinity-percent {
			perSec += percent - r
		}
	}
	p.num("CPUQuotaPerSecUSec", perSec)
}

func (p *properties) cpuset(name, list string) error {
	if list == "" || p.version < sinceAllowedCPUs {
		return nil // the file gets it all the same
	}
	bits, err := listBits(list)
	if err != nil {
		return err
	}
	p.add(name, dbus.Bytes(bits))
	return nil
}

// listBits turns "0-2,8" into a mask whose first byte has the numbers 0 to 7.
func listBits(list string) ([]byte, error) {
	var bits []byte
	for item := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		lo, hi, ranged := strings.Cut(item, "-")
		if !ranged {
			hi = lo
		}
		a, err1 := strconv.ParseUint(lo, 10, 16)
		b, err2 := strconv.ParseUint(hi, 10, 16)
		if err1 != nil || err2 != nil || b < a || b > 8191 {
			return nil, fmt.Errorf("%q in the list %.40q is no number or range that systemd takes", item, list)
		}
		for ; a <= b; a++ {
			for uint64(len(bits)) <= a/8 {
				bits = append(bits, 0)
			}
			bits[a/8] |= 1 << (a % 8)
		}
	}
	return bits, nil
}

// devices sets the policy, as far as systemd can say it: it has a list of what is allowed. The
// rest is in the rules that package cgroup sets, and the kernel wants both to agree on v2.
func (p *properties) devices(list []specs.LinuxDeviceCgroup) error {
	allow, exceptions, err := cgroup.DevicePolicy(list)
	if err != nil {
		return err
	}
	empty := dbus.Array("(ss)")
	if allow && len(exceptions) == 0 {
		p.add("DevicePolicy", dbus.String("auto"))
		p.add("DeviceAllow", empty)
		return nil
	}
	p.add("DevicePolicy", dbus.String("strict"))
	p.add("DeviceAllow", empty) // drops what was there
	if allow {
		// systemd cannot deny single devices: nothing until our own rules are in place.
		return nil
	}
	var entries []dbus.Value
	for _, e := range exceptions {
		kind := "char"
		if e.Kind == 'b' {
			kind = "block"
		}
		var path string
		switch {
		case e.Major < 0 && e.Minor >= 0:
			continue // systemd cannot say "*:N"
		case e.Major < 0:
			path = kind + "-*"
		case e.Minor < 0:
			if p.version < sinceDeviceMajor {
				continue // wants a name of /proc/devices
			}
			path = kind + "-" + strconv.FormatInt(e.Major, 10)
		default:
			path = "/dev/" + kind + "/" + strconv.FormatInt(e.Major, 10) + ":" + strconv.FormatInt(e.Minor, 10)
		}
		entries = append(entries, dbus.Struct(dbus.String(path), dbus.String(e.Access)))
	}
	p.add("DeviceAllow", dbus.Array("(ss)", entries...))
	return nil
}

// unified converts the keys that systemd has properties for; the others are files only.
func (p *properties) unified(m map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v := strings.TrimSpace(m[key])
		if err := p.unifiedKey(key, v, m); err != nil {
			return fmt.Errorf("linux.resources.unified[%q]: %w", key, err)
		}
	}
	return nil
}

func (p *properties) unifiedKey(key, v string, all map[string]string) error {
	number := func(name string) error {
		n := uint64(infinity)
		if v != "max" {
			var err error
			if n, err = strconv.ParseUint(v, 10, 64); err != nil {
				return fmt.Errorf("%q is not a number", v)
			}
		}
		p.num(name, n)
		return nil
	}
	idle := strings.TrimSpace(all["cpu.idle"]) == "1" && p.version >= sinceCPUIdle
	switch key {
	case "cpu.idle":
		if idle {
			p.num("CPUWeight", 0)
		}
	case "cpu.weight":
		if !idle {
			return number("CPUWeight")
		}
	case "cpu.max":
		f := strings.Fields(v)
		if len(f) < 1 || len(f) > 2 {
			return fmt.Errorf("%q is not QUOTA [PERIOD]", v)
		}
		var quota int64
		period := uint64(100000)
		var err error
		if f[0] != "max" {
			if quota, err = strconv.ParseInt(f[0], 10, 64); err != nil {
				return fmt.Errorf("%q is not a quota", f[0])
			}
		}
		if len(f) == 2 {
			if period, err = strconv.ParseUint(f[1], 10, 64); err != nil || period == 0 {
				return fmt.Errorf("%q is not a period", f[1])
			}
		}
		p.quota(quota, period)
	case "cpuset.cpus":
		return p.cpuset("AllowedCPUs", v)
	case "cpuset.mems":
		return p.cpuset("AllowedMemoryNodes", v)
	case "memory.high":
		return number("MemoryHigh")
	case "memory.low":
		return number("MemoryLow")
	case "memory.min":
		return number("MemoryMin")
	case "memory.max":
		return number("MemoryMax")
	case "memory.swap.max":
		return number("MemorySwapMax")
	case "pids.max":
		return number("TasksMax")
	}
	return nil
}
