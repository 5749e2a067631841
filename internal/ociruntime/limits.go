package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// prepareProcess does to the new process what only the outside can do.
func prepareProcess(pid int, s *specs.Spec, userns bool, limits []specs.POSIXRlimit) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	if userns { // where it has no right to more than it has
		for _, l := range limits {
			lim := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
			if err := unix.Prlimit(pid, ocispec.RlimitNumber(l.Type), &lim, nil); err != nil {
				return fmt.Errorf("set the limit %s: %w", l.Type, err)
			}
		}
	}
	if adj := s.Process.OOMScoreAdj; !keepsOOMScore(adj) {
		if err := os.WriteFile(dir+"oom_score_adj", []byte(strconv.Itoa(*adj)), 0); err != nil && !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("set process.oomScoreAdj to %d: %w", *adj, err)
		}
	}
	return nil
}

// clampLimits lowers what the caller has no right to grant, with a warning.
func (c *caller) clampLimits(list []specs.POSIXRlimit, warn func(string)) []specs.POSIXRlimit {
	out := make([]specs.POSIXRlimit, 0, len(list))
	may := c.has(unix.CAP_SYS_RESOURCE)
	for _, l := range list {
		var cur unix.Rlimit
		if !may && unix.Prlimit(0, ocispec.RlimitNumber(l.Type), nil, &cur) == nil && l.Hard > cur.Max {
			if warn != nil {
				warn(fmt.Sprintf("%s: hard limit %d lowered to %d, the runtime's own (no CAP_SYS_RESOURCE)", l.Type, l.Hard, cur.Max))
			}
			l.Hard, l.Soft = cur.Max, min(l.Soft, cur.Max)
		}
		out = append(out, l)
	}
	return out
}
