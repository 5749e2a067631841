package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// weight is the proportional set, in bytes, of all that an engine runs besides containers' own
// processes: of every process whose command line names the engine's directory.
func (e *engine) weight() (sum int64) {
	entries, _ := os.ReadDir("/proc")
	for _, p := range entries {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		if err != nil || !bytes.Contains(line, []byte(e.dir+"/")) {
			continue
		}
		data, _ := os.ReadFile(filepath.Join("/proc", p.Name(), "smaps_rollup"))
		for text := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(text, "Pss:"); ok {
				n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}

// host describes the machine in a line.
func host() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("Linux %s, %d CPUs, load at the end %s", strings.TrimSpace(string(release)),
		strings.Count(string(cpus), "processor\t"), strings.Join(strings.Fields(string(load))[:3], " "))
}
