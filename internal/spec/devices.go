package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// devices says which device nodes there are and which may be used. The runtime adds those that every
// container has (null, zero, full, random, urandom, tty, ptmx, console) and the right to make nodes.
func (b *builder) devices() error {
	l := b.spec.Linux
	l.Devices = append([]specs.LinuxDevice{}, b.Devices.Nodes...)
	if err := refuseDeviceRequests(b.Host.DeviceRequests); err != nil {
		return err
	}
	if b.Host.Privileged {
		l.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		return nil
	}
	rules, err := deviceRules(b.Host.DeviceCgroupRules)
	if err != nil {
		return err
	}
	l.Resources.Devices = slices.Concat(defaultDeviceRules(), b.Devices.Rules, rules)
	return nil
}

func defaultDeviceRules() []specs.LinuxDeviceCgroup {
	rule := func(allow bool, major, minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: &major, Minor: &minor, Access: "rwm"}
	}
	return []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		rule(true, 1, 5), rule(true, 1, 3), rule(true, 1, 9), rule(true, 1, 8), rule(true, 5, 0), rule(true, 5, 1),
		rule(false, 10, 229), // fuse
	}
}

// refuseDeviceRequests refuses what no driver here can do: Hull has none for GPUs yet.
func refuseDeviceRequests(requests []container.DeviceRequest) error {
	for _, r := range requests {
		if r.Driver == "" && len(r.Capabilities) == 0 && r.Count == 0 && len(r.DeviceIDs) == 0 {
			continue
		}
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("could not select device driver %q with capabilities: %v", r.Driver, r.Capabilities))
	}
	return nil
}

var deviceRule = regexp.MustCompile(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`)

// deviceRules reads HostConfig.DeviceCgroupRules, in the format of the kernel's devices controller.
func deviceRules(rules []string) ([]specs.LinuxDeviceCgroup, error) {
	var out []specs.LinuxDeviceCgroup
	for _, r := range rules {
		m := deviceRule.FindStringSubmatch(r)
		if m == nil {
			return nil, invalid(fmt.Sprintf("invalid device cgroup rule format: '%s'", r))
		}
		major, err := deviceNumber(m[2])
		if err != nil {
			return nil, invalid(fmt.Sprintf("invalid major value in device cgroup rule format: '%s'", r))
		}
		minor, err := deviceNumber(m[3])
		if err != nil {
			return nil, invalid(fmt.Sprintf("invalid minor value in device cgroup rule format: '%s'", r))
		}
		out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: m[1], Major: &major, Minor: &minor, Access: m[4]})
	}
	return out, nil
}

// deviceNumber reads a major or minor number; -1 is any.
func deviceNumber(s string) (int64, error) {
	if s == "*" {
		return -1, nil
	}
	return strconv.ParseInt(s, 10, 32)
}

// devicePermissions checks HostConfig.Devices[].CgroupPermissions.
func devicePermissions(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, "rwm") == ""
}
