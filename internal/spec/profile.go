package spec

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// profile is the hardening by one word (SECURITY.md 2c, item 10).
type profile struct {
	caps                   []string
	noNewPrivileges        bool
	noNewPrivilegesByImage bool
	readOnly               bool
	dockerSeccomp          bool // moby's profile as it is
	dockerPaths            bool
	pids                   int64 // 0: no limit
	nofile                 Limit // zero: as hulld's
	cgroupNamespace        bool  // also on cgroup v1
}

// profileOf finds a profile by its name.
func profileOf(name string) (profile, error) {
	switch name {
	case "", "default":
		return profile{caps: defaultCaps(), noNewPrivilegesByImage: true, pids: 4096, nofile: Limit{1024, 524288}, cgroupNamespace: true}, nil
	case "compat":
		return profile{caps: dockerCaps(), dockerSeccomp: true, dockerPaths: true}, nil
	case "strict":
		return profile{noNewPrivileges: true, readOnly: true, pids: 4096, nofile: Limit{1024, 524288}, cgroupNamespace: true}, nil
	}
	return profile{}, invalid(fmt.Sprintf("no security profile %q; there are default, compat and strict", name))
}

func invalid(text string) error { return errdefs.ErrInvalidArgument.WithMessage(text) }
