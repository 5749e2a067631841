package spec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// Security is what the options --security-opt say.
type Security struct {
	NoNewPrivileges *bool
	WritableCgroups *bool
	AppArmor        string
	Seccomp         string // "", "unconfined", "builtin", or a profile as JSON
	Labels          []string
	// SystemPaths is false when nothing below /proc and /sys shall be masked or read-only.
	SystemPaths bool
	Profile     string
}

// ParseSecurityOpt reads HostConfig.SecurityOpt with Docker's errors. Two options are Hull's own:
// systempaths=unconfined, which docker's command line replaces by empty lists before it asks, and
// profile=NAME.
func ParseSecurityOpt(opts []string) (Security, error) {
	s := Security{SystemPaths: true}
	for _, opt := range opts {
		key, value, found := cutOption(opt)
		var err error
		switch {
		case !found && key == "no-new-privileges":
			s.NoNewPrivileges = yes()
		case !found && key == "writable-cgroups":
			s.WritableCgroups = yes()
		case !found && key == "disable":
			s.Labels = append(s.Labels, key)
		case !found:
			return Security{}, invalid(fmt.Sprintf("invalid --security-opt 1: %q", opt))
		case key == "label":
			s.Labels = append(s.Labels, value)
		case key == "apparmor":
			s.AppArmor = value
		case key == "seccomp":
			s.Seccomp = value
		case key == "no-new-privileges":
			s.NoNewPrivileges, err = parseBool(value)
		case key == "writable-cgroups":
			s.WritableCgroups, err = parseBool(value)
		case key == "systempaths" && value == "unconfined":
			s.SystemPaths = false
		case key == "profile":
			s.Profile = value
			_, err = profileOf(value)
		default:
			return Security{}, invalid(fmt.Sprintf("invalid --security-opt 2: %q", opt))
		}
		if errdefs.IsInvalidArgument(err) {
			return Security{}, err
		}
		if err != nil {
			return Security{}, invalid(fmt.Sprintf("invalid --security-opt 2: %q", opt))
		}
	}
	return s, nil
}

// cutOption splits an option at its "=", or, as old clients write it, at its ":".
func cutOption(opt string) (key, value string, found bool) {
	if strings.Contains(opt, "=") {
		return strings.Cut(opt, "=")
	}
	return strings.Cut(opt, ":")
}

func yes() *bool { t := true; return &t }

func parseBool(s string) (*bool, error) {
	v, err := strconv.ParseBool(s)
	return &v, err
}

// apparmor is the name of the AppArmor profile. Hull has no profile of its own yet, so a container
// has the one that it is told, where the host has AppArmor at all.
func (b *builder) apparmor() string {
	switch {
	case !b.Facts.AppArmor:
		return ""
	case b.security.AppArmor != "":
		return b.security.AppArmor
	case b.Host.Privileged:
		return "unconfined"
	}
	return ""
}

// selinux refuses what it cannot do: a host without SELinux ignores labels, as Docker's does.
func (b *builder) selinux() error {
	if !b.Facts.SELinux {
		return nil
	}
	for _, l := range b.security.Labels {
		if l != "disable" {
			return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("the SELinux label %q cannot be set: Hull labels no containers yet; --security-opt label=disable says that none is wanted", l))
		}
	}
	return nil
}

// WantsUserNS says whether a container gets a user namespace and a range of ids of its own; if not,
// why is for people, and for inspect. A container that joins another's namespaces has
// that one's: this is about those that do not.
func WantsUserNS(h *container.HostConfig, f *Facts) (wants bool, why string) {
	switch {
	case !f.UserNS:
		return false, "user namespaces are turned off"
	case h.UsernsMode.IsHost():
		return false, "--userns=host was asked for"
	case h.Privileged:
		return false, "a privileged container has the host's users"
	case h.NetworkMode.IsHost():
		return false, "it shares the host's network namespace"
	case h.PidMode.IsHost():
		return false, "it shares the host's process namespace"
	case h.IpcMode.IsHost():
		return false, "it shares the host's IPC namespace"
	}
	return true, ""
}
