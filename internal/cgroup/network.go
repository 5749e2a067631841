package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// setNetwork tags packets (net_cls.classid) and sets the priority of interfaces. Both exist on
// v1 only; on a v2 host they are skipped with a warning, as in runc.
func (g *Group) setNetwork(n *specs.LinuxNetwork) error {
	if n.ClassID != nil && *n.ClassID != 0 {
		d, err := g.locateV1("net_cls", "network.classID")
		if err != nil {
			return err
		}
		if d != nil {
			if err := set("network.classID", d.path, "net_cls.classid", strconv.FormatUint(uint64(*n.ClassID), 10)); err != nil {
				return err
			}
		}
	}
	for _, p := range n.Priorities {
		d, err := g.locateV1("net_prio", "network.priorities")
		if err != nil || d == nil {
			return err
		}
		if err := set("network.priorities", d.path, "net_prio.ifpriomap", p.Name+" "+strconv.FormatUint(uint64(p.Priority), 10)); err != nil {
			return err
		}
	}
	return nil
}

// locateV1 returns nil without an error on a pure v2 host.
func (g *Group) locateV1(controller, field string) (*groupDir, error) {
	if g.pure() {
		g.warnings = append(g.warnings, fmt.Sprintf("linux.resources.%s is ignored: cgroup v2 has no %s controller", field, controller))
		return nil, nil
	}
	return g.locate(controller, field)
}

// checkInterface keeps a name from being more than one word of a line (dev_valid_name in
// net/core/dev.c).
func checkInterface(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\r\v\f\x00") {
		return errors.New("is not a network interface name")
	}
	return nil
}
