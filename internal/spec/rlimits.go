package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ulimits are the names that a ulimit may have, as of go-units.
func knownUlimit(name string) bool {
	return slices.Contains([]string{
		"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
		"rttime", "sigpending", "stack", "as",
	}, name)
}

// rlimits are the user's, the daemon's, and the profile's for files. Where hulld has no right to go
// above its own hard limit, the container has that one.
func (b *builder) rlimits() ([]specs.POSIXRlimit, error) {
	all := slices.Clone(b.Host.Ulimits)
	has := func(name string) bool {
		return slices.ContainsFunc(all, func(u *container.Ulimit) bool { return u.Name == name })
	}
	asked := len(all)
	for _, u := range b.Ulimits {
		if !has(u.Name) {
			all = append(all, u)
		}
	}
	if b.profile.nofile != (Limit{}) && !has("nofile") {
		all = append(all, &container.Ulimit{Name: "nofile", Soft: int64(b.profile.nofile.Soft), Hard: int64(b.profile.nofile.Hard)})
	}
	var out []specs.POSIXRlimit
	for i, u := range all {
		if err := checkUlimit(u); err != nil {
			return nil, err
		}
		l := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)}
		own, known := b.Facts.Limits[u.Name]
		if known && l.Hard > own.Hard && !slices.Contains(b.Facts.Capabilities, "CAP_SYS_RESOURCE") {
			if i < asked {
				b.warn(fmt.Sprintf("hulld has no right to raise the limit %s above %d (CAP_SYS_RESOURCE). Limited to that.", u.Name, own.Hard))
			}
			l.Hard = own.Hard
			l.Soft = min(l.Soft, l.Hard)
		}
		out = append(out, l)
	}
	return out, nil
}

// checkUlimit refuses what setrlimit(2) would. -1 is no limit.
func checkUlimit(u *container.Ulimit) error {
	switch {
	case u == nil || !knownUlimit(u.Name):
		name := ""
		if u != nil {
			name = u.Name
		}
		return invalid("invalid ulimit type: " + name)
	case u.Soft < -1 || u.Hard < -1:
		return invalid(fmt.Sprintf("invalid ulimit %s: a limit is -1 (none) or more", u.Name))
	case u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard):
		return invalid(fmt.Sprintf("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard))
	}
	return nil
}
