package cgroup

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// setRdma writes one line for each device; rdma.max is the same file on v1 and v2.
func setRdma(dir string, m map[string]specs.LinuxRdma) error {
	for _, dev := range slices.Sorted(maps.Keys(m)) {
		v := dev
		if n := m[dev].HcaHandles; n != nil {
			v += " hca_handle=" + strconv.FormatUint(uint64(*n), 10)
		}
		if n := m[dev].HcaObjects; n != nil {
			v += " hca_object=" + strconv.FormatUint(uint64(*n), 10)
		}
		if v == dev {
			continue
		}
		if err := set("rdma", dir, "rdma.max", v); err != nil {
			return err
		}
	}
	return nil
}

// RdmaEntry is one device's line of rdma.current or rdma.max.
type RdmaEntry struct {
	Device     string
	HcaHandles uint32
	HcaObjects uint32
}

func statRdma(dir string, s *RdmaStats) error {
	for _, f := range []struct {
		file string
		to   *[]RdmaEntry
	}{{"rdma.current", &s.Current}, {"rdma.max", &s.Limit}} {
		text, err := readFile(dir, f.file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(text) { // "mlx4_0 hca_handle=2 hca_object=max"
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			e := RdmaEntry{Device: words[0]}
			for _, w := range words[1:] {
				key, num, _ := strings.Cut(w, "=")
				n := uint64(1<<32 - 1)
				if num != "max" {
					if n, err = strconv.ParseUint(num, 10, 32); err != nil {
						continue
					}
				}
				switch key {
				case "hca_handle":
					e.HcaHandles = uint32(n)
				case "hca_object":
					e.HcaObjects = uint32(n)
				}
			}
			*f.to = append(*f.to, e)
		}
	}
	return nil
}
