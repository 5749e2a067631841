package cgroup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	accRead = 1 << iota // values of devRule.access only
	accWrite
	accMknod
	accAll = accRead | accWrite | accMknod
)

const wildcard = -1

// devRule matches devices of one kind ('b', 'c', or 'a' for all of both).
type devRule struct {
	kind         byte
	major, minor int64 // wildcard matches every number
	access       uint8
	allow        bool
}

func (r devRule) same(o devRule) bool {
	return r.kind == o.kind && r.major == o.major && r.minor == o.minor
}

// String is the form of devices.allow and devices.deny: "c 1:3 rwm".
func (r devRule) String() string {
	num := func(n int64) string {
		if n == wildcard {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	acc := make([]byte, 0, 3)
	for i, c := range []byte("rwm") {
		if r.access&(1<<i) != 0 {
			acc = append(acc, c)
		}
	}
	return string(r.kind) + " " + num(r.major) + ":" + num(r.minor) + " " + string(acc)
}

// DefaultDevices are the rules that every container gets after those of its config.json, as
// in runc: mknod of any node, and use of the usual harmless ones.
func DefaultDevices() []specs.LinuxDeviceCgroup {
	rule := func(kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		r := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: access}
		if major != wildcard {
			r.Major = &major
		}
		if minor != wildcard {
			r.Minor = &minor
		}
		return r
	}
	return []specs.LinuxDeviceCgroup{
		rule("c", wildcard, wildcard, "m"),
		rule("b", wildcard, wildcard, "m"),
		rule("c", 1, 3, "rwm"),          // null
		rule("c", 1, 8, "rwm"),          // random
		rule("c", 1, 7, "rwm"),          // full
		rule("c", 5, 0, "rwm"),          // tty
		rule("c", 1, 5, "rwm"),          // zero
		rule("c", 1, 9, "rwm"),          // urandom
		rule("c", 136, wildcard, "rwm"), // pts/*
		rule("c", 5, 2, "rwm"),          // ptmx
		rule("c", 10, 200, "rwm"),       // net/tun
	}
}

// parseRules checks the rules of config.json.
func parseRules(list []specs.LinuxDeviceCgroup) ([]devRule, error) {
	rules := make([]devRule, 0, len(list))
	for i, d := range list {
		r := devRule{kind: 'a', major: wildcard, minor: wildcard, allow: d.Allow}
		field := func(name string) string { return fmt.Sprintf("devices[%d].%s", i, name) }
		switch d.Type {
		case "", "a":
		case "b", "c":
			r.kind = d.Type[0]
		default:
			return nil, invalid(field("type"), "%q is not a, b or c", d.Type)
		}
		for _, n := range []struct {
			name string
			from *int64
			to   *int64
		}{{"major", d.Major, &r.major}, {"minor", d.Minor, &r.minor}} {
			if n.from == nil {
				continue
			}
			if *n.from < wildcard || *n.from > 1<<32-2 { // the kernel's ~0 is its wildcard
				return nil, invalid(field(n.name), "%d is not a device number", *n.from)
			}
			*n.to = *n.from
		}
		for _, c := range []byte(d.Access) {
			switch c {
			case 'r':
				r.access |= accRead
			case 'w':
				r.access |= accWrite
			case 'm':
				r.access |= accMknod
			default:
				return nil, invalid(field("access"), "%q has letters other than r, w and m", d.Access)
			}
		}
		if r.access == 0 {
			return nil, invalid(field("access"), "it is empty")
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// policy is a list of rules brought into the kernel's form: a default, and exceptions from it
// that do not depend on their order.
type policy struct {
	allow      bool
	exceptions []devRule
}

// newPolicy starts with "deny all" and applies the rules in order.
func newPolicy(rules []devRule) (policy, error) {
	var p policy
	for _, r := range rules {
		if r.kind == 'a' {
			p = policy{allow: r.allow}
			continue
		}
		i := slices.IndexFunc(p.exceptions, r.same)
		if r.allow != p.allow {
			if i < 0 {
				p.exceptions = append(p.exceptions, r)
			} else {
				p.exceptions[i].access |= r.access
			}
			continue
		}
		// The kernel keeps no exceptions from exceptions: v1 would drop this rule silently.
		for _, e := range p.exceptions {
			wide := (e.major == wildcard || e.major == r.major) && (e.minor == wildcard || e.minor == r.minor)
			if e.kind == r.kind && wide && !e.same(r) && e.access&r.access != 0 {
				return p, invalid("devices", "rule %q cannot make a hole in the wildcard rule %q", r, e)
			}
		}
		if i >= 0 {
			if p.exceptions[i].access &^= r.access; p.exceptions[i].access == 0 {
				p.exceptions = slices.Delete(p.exceptions, i, i+1)
			}
		}
	}
	slices.SortFunc(p.exceptions, func(a, b devRule) int {
		return cmp.Or(cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor), cmp.Compare(a.kind, b.kind))
	})
	return p, nil
}

// containerPolicy is what the rules of config.json and the default devices come to.
func containerPolicy(list []specs.LinuxDeviceCgroup) (policy, error) {
	rules, err := parseRules(append(slices.Clip(list), DefaultDevices()...))
	if err != nil {
		return policy{}, err
	}
	return newPolicy(rules)
}

// DeviceException is one exception from a device policy. A Major or Minor of -1 is every one.
type DeviceException struct {
	Kind         byte // 'b' or 'c'
	Major, Minor int64
	Access       string // of r, w and m
}

// DevicePolicy returns the device policy of a container: whether everything is allowed that
// the exceptions do not deny, or the other way round.
func DevicePolicy(list []specs.LinuxDeviceCgroup) (allow bool, exceptions []DeviceException, err error) {
	p, err := containerPolicy(list)
	if err != nil {
		return false, nil, err
	}
	for _, r := range p.exceptions {
		text := r.String()
		exceptions = append(exceptions, DeviceException{r.kind, r.major, r.minor, text[strings.LastIndexByte(text, ' ')+1:]})
	}
	return p.allow, exceptions, nil
}

// setDevices sets the device policy of a group without processes.
func (g *Group) setDevices(list []specs.LinuxDeviceCgroup) error {
	p, err := containerPolicy(list)
	if err != nil {
		return err
	}
	if d := g.one("devices"); d != nil {
		err = setDevicesV1(d.path, p)
	} else if two := g.two(); two != nil {
		err = setDevicesV2(two.path, p)
	} else {
		err = nil // Create let this pass for a rootless container only
	}
	if err != nil && (g.config.Rootless || inUserNS("/proc/self/uid_map")) && isNoRights(err) {
		// Such a container cannot make or reach the devices that the rules are about.
		g.warnings = append(g.warnings, "device rules are not set: "+err.Error())
		return nil
	}
	return err
}

// inUserNS tells whether this process is in a user namespace other than the first.
func inUserNS(uidMap string) bool {
	i := strings.LastIndexByte(uidMap, '/')
	text, err := readLong(uidMap[:i], uidMap[i+1:])
	if err != nil {
		return false
	}
	f := strings.Fields(text)
	return !(len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295")
}

// setDevicesV1 writes the policy: one write for the default, which also drops the exceptions
// that the group took over from its parent, and one for each exception (the kernel parses one
// rule a write). There is nothing to read first, because no process is in the group yet.
func setDevicesV1(dir string, p policy) error {
	first, rest := "devices.deny", "devices.allow"
	if p.allow {
		first, rest = rest, first
	}
	if err := writeFile(dir, first, "a"); err != nil {
		return &LimitError{Field: "devices", Value: "a", Err: err}
	}
	if len(p.exceptions) == 0 {
		return nil
	}
	return writeLines("devices", dir, rest, func(write func(string) error) error {
		for _, r := range p.exceptions {
			if err := write(r.String()); err != nil {
				return err
			}
		}
		return nil
	})
}
