package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/hull-dev/hull/internal/criu"
	"github.com/hull-dev/hull/internal/linux"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// nullDevice is what masked files are covered with, and its name in the image.
const nullDevice = "/dev/null"

// dumpMounts names the mounts of a container whose source is outside of it. criu finds each by its
// mount point, and keeps the name: config.json's destination, by which [restoreMounts] gives it a
// source again. Mount points are looked up in the running container, where links are as they
// were, never in the root as the host sees it.
func (c *Container) dumpMounts(s *specs.Spec, undo *undoList) ([]criu.ExternalMount, error) {
	root, err := unix.Open("/proc/"+itoa(uint64(c.InitPid))+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root of container %s: %w", c.ID, err)
	}
	undo.fd(root)
	var out []criu.ExternalMount
	for i, m := range s.Mounts {
		for _, name := range outsideNames(s, m, c.Cgroups) {
			key, _, err := seenAs(root, name)
			if err != nil {
				return nil, fmt.Errorf("mounts[%d].destination %s: %w", i, m.Destination, err)
			}
			out = append(out, criu.ExternalMount{Key: key, Value: name})
		}
	}
	for _, name := range boundNodes(s) {
		if key, _, err := seenAs(root, name); err == nil { // the container may have removed it
			out = append(out, criu.ExternalMount{Key: key, Value: name})
		}
	}
	for _, name := range s.Linux.MaskedPaths {
		key, dir, err := seenAs(root, name)
		switch {
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || dir: // not there, or under a tmpfs of the container's own
		case err != nil:
			return nil, fmt.Errorf("linux.maskedPaths: %s: %w", name, err)
		default:
			out = append(out, criu.ExternalMount{Key: key, Value: nullDevice})
		}
	}
	return out, nil
}

// seenAs is the path of a file of the container's without links, as /proc/PID/mountinfo has it.
func seenAs(root int, name string) (key string, dir bool, err error) {
	fd, err := linux.Resolve(root, rel(name), &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: inRoot})
	if err != nil {
		return "", false, os.NewSyscallError("openat2", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", false, err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink("/proc/self/fd/"+itoa(uint64(fd)), buf)
	return string(buf[:n]), st.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

func isBind(m specs.Mount) bool {
	o := parseMountOptions(m)
	return m.Type == "bind" || o.Bind()
}

// outsideNames are the names of the external mounts that a mount of config.json stands for: one
// for a bind; for a cgroup mount those of its hierarchies, unless the container has a cgroup
// namespace, where criu knows how to mount them.
func outsideNames(s *specs.Spec, m specs.Mount, cgroups map[string]string) []string {
	dest := path.Clean("/" + m.Destination)
	switch {
	case isBind(m):
		return []string{dest}
	case m.Type != "cgroup" && m.Type != "cgroup2" || hasNamespace(s, specs.CgroupNamespace):
		return nil
	}
	var out []string
	for c := range cgroupMounts(cgroups) {
		out = append(out, path.Join(dest, c))
	}
	return out
}

// cgroupMounts are the directories of the host that a cgroup mount shows, by their name below it;
// "" is the mount itself.
func cgroupMounts(cgroups map[string]string) map[string]string {
	out := map[string]string{}
	for c, dir := range cgroups {
		if c != "" {
			out[strings.TrimPrefix(c, "name=")] = dir
		}
	}
	if len(out) == 0 && cgroups[""] != "" {
		out[""] = cgroups[""]
	}
	return out
}

// boundNodes are the devices that are bind mounts of the host's: those of a user namespace.
func boundNodes(s *specs.Spec) []string {
	if !hasNamespace(s, specs.UserNamespace) || !needsDevices(s) {
		return nil
	}
	var out []string
	for _, n := range defaultNodes {
		out = append(out, "/dev/"+n.name)
	}
	for _, d := range s.Linux.Devices {
		out = append(out, path.Clean(d.Path))
	}
	return out
}

func hasNamespace(s *specs.Spec, t specs.LinuxNamespaceType) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == t {
			return true
		}
	}
	return false
}
