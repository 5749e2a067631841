package ociruntime

import (
	"strconv"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lastCap is the number of the newest capability that this runtime knows.
func lastCap() uint { return uint(len(ocispec.KnownCapabilities()) - 1) }

type capabilities struct{ bounding, effective, permitted, inheritable, ambient uint64 }

// capSets turns names into sets. Names that this runtime does not know are left out, as in
// runc, and so is what the runtime itself does not hold: nobody can hand on what he lacks.
func capSets(c *specs.LinuxCapabilities, held uint64) capabilities {
	if c == nil {
		return capabilities{}
	}
	set := func(names []string) (s uint64) {
		for _, n := range names {
			if i := ocispec.CapabilityNumber(n); i >= 0 {
				s |= 1 << i
			}
		}
		return s & held
	}
	out := capabilities{set(c.Bounding), set(c.Effective), set(c.Permitted), set(c.Inheritable), set(c.Ambient)}
	out.ambient &= out.permitted & out.inheritable // the kernel's rule, capabilities(7); runc warns
	out.effective &= out.permitted
	return out
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
