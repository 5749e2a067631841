package cgroup

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// setPids limits the number of tasks. 0 and negative are "no limit": see the package comment.
func setPids(dir string, p *specs.LinuxPids) error {
	v := "max"
	if *p.Limit > 0 {
		v = numV2(*p.Limit)
	}
	return set("pids.limit", dir, "pids.max", v)
}

func statPids(dir string, s *PidsStats) error {
	var err error
	if s.Current, err = readUint(dir, "pids.current"); err != nil {
		return err
	}
	text, err := readFile(dir, "pids.max")
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) != "max" { // no limit is shown as none
		s.Limit, err = parseUint(text)
	}
	return err
}
