package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxConfig bounds config.json and process.json (SECURITY.md R10).
const maxConfig = 16 << 20

// readBounded reads a regular file of at most maxConfig bytes.
func readBounded(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(b) > maxConfig {
		err = fmt.Errorf("read %s: larger than %d bytes", name, maxConfig)
	}
	return b, err
}

// ReadConfig reads and checks BUNDLE/config.json; it also returns the file's bytes.
func ReadConfig(name string) (*specs.Spec, []byte, error) {
	b, err := readBounded(name)
	if err != nil {
		return nil, nil, fmt.Errorf("read the container's configuration: %w", err)
	}
	s, err := decodeSpec(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := validate(s); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, b, nil
}

// validate refuses what no host can run, in one sentence that names the field.
func validate(s *specs.Spec) error {
	switch {
	case s.Version == "":
		return errors.New("ociVersion is missing")
	case !strings.HasPrefix(s.Version, "1."):
		return fmt.Errorf("ociVersion %q is not supported: want 1.x", s.Version)
	case s.Root == nil || s.Root.Path == "":
		return errors.New("root.path is missing")
	case s.Linux == nil:
		return errors.New("linux is missing")
	}
	if s.Process != nil {
		if err := validateProcess(s.Process); err != nil {
			return err
		}
	}
	seen := uint64(0)
	for i, n := range s.Linux.Namespaces {
		f := ocispec.NamespaceFlag(n.Type)
		switch {
		case f == 0:
			return fmt.Errorf("linux.namespaces[%d].type: unknown namespace %q", i, n.Type)
		case seen&f != 0:
			return fmt.Errorf("linux.namespaces[%d].type: %q is there twice", i, n.Type)
		case n.Path != "" && n.Path[0] != '/':
			return fmt.Errorf("linux.namespaces[%d].path %q is not absolute", i, n.Path)
		case strings.IndexByte(n.Path, 0) >= 0:
			return fmt.Errorf("linux.namespaces[%d].path contains a NUL byte", i)
		}
		seen |= f
	}
	if seen&unix.CLONE_NEWNS == 0 {
		return errors.New("linux.namespaces: a mount namespace is needed")
	}
	maps := len(s.Linux.UIDMappings) + len(s.Linux.GIDMappings)
	if maps > 0 && seen&unix.CLONE_NEWUSER == 0 {
		return errors.New("linux.uidMappings: there is no user namespace to map ids in")
	}
	for _, m := range [][]specs.LinuxIDMapping{s.Linux.UIDMappings, s.Linux.GIDMappings} {
		if len(m) > 340 { // UID_GID_MAP_MAX_EXTENTS; CVE-2021-43784
			return fmt.Errorf("linux.uidMappings/gidMappings: %d entries; the kernel takes 340", len(m))
		}
		for i, e := range m {
			if uint64(e.ContainerID)+uint64(e.Size) > 1<<32 || uint64(e.HostID)+uint64(e.Size) > 1<<32 || e.Size == 0 {
				return fmt.Errorf("linux.uidMappings/gidMappings[%d]: an empty range, or one that ends beyond 2^32", i)
			}
		}
	}
	if (s.Hostname != "" || s.Domainname != "") && seen&unix.CLONE_NEWUTS == 0 {
		return errors.New("hostname: a uts namespace is needed to set it")
	}
	for i, m := range s.Mounts {
		if m.Destination == "" || strings.IndexByte(m.Destination+m.Source+m.Type+strings.Join(m.Options, ","), 0) >= 0 {
			return fmt.Errorf("mounts[%d].destination: empty, or the mount contains a NUL byte", i)
		}
	}
	for k, v := range s.Linux.Sysctl {
		if err := validateSysctl(k, v, seen); err != nil {
			return err
		}
	}
	for _, list := range [][]string{s.Linux.MaskedPaths, s.Linux.ReadonlyPaths} {
		for _, p := range list {
			if p == "" || p[0] != '/' || strings.IndexByte(p, 0) >= 0 {
				return fmt.Errorf("linux.maskedPaths/readonlyPaths: %q is not an absolute path", p)
			}
		}
	}
	for i, d := range s.Linux.Devices {
		if d.Path == "" || d.Path[0] != '/' || strings.IndexByte(d.Path, 0) >= 0 || len(d.Type) != 1 || !strings.Contains("cbup", d.Type) {
			return fmt.Errorf("linux.devices[%d]: want an absolute path and a type of c, b, u or p", i)
		}
	}
	return validateUnsupported(s)
}

// validateUnsupported refuses properties that this version does not implement: silence
// would be a container with less protection than was asked for.
func validateUnsupported(s *specs.Spec) error {
	l := s.Linux
	switch {
	case l.IntelRdt != nil:
		return errors.New("linux.intelRdt is not supported yet")
	case l.MemoryPolicy != nil:
		return errors.New("linux.memoryPolicy is not supported yet")
	case len(l.NetDevices) > 0:
		return errors.New("linux.netDevices is not supported yet")
	case l.Seccomp != nil && l.Seccomp.ListenerPath != "":
		return errors.New("linux.seccomp.listenerPath is not supported yet")
	case l.MountLabel != "" || s.Process != nil && s.Process.SelinuxLabel != "":
		return errors.New("process.selinuxLabel, linux.mountLabel: SELinux is not supported yet")
	case s.Process != nil && s.Process.ExecCPUAffinity != nil:
		return errors.New("process.execCPUAffinity is not supported yet")
	case s.Process != nil && s.Process.ApparmorProfile != "":
		return errors.New("process.apparmorProfile: AppArmor is not supported yet")
	}
	for i, m := range s.Mounts {
		if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
			return fmt.Errorf("mounts[%d].uidMappings: id-mapped mounts are not supported yet", i)
		}
		for _, o := range m.Options {
			if o == "tmpcopyup" && len(l.UIDMappings) > 0 || o == "idmap" || o == "ridmap" {
				return fmt.Errorf("mounts[%d].options: %q is not supported yet", i, o)
			}
		}
	}
	return nil
}

func validateProcess(p *specs.Process) error {
	switch {
	case len(p.Args) == 0:
		return errors.New("process.args must not be empty")
	case p.Args[0] == "":
		return errors.New("process.args[0] must not be empty")
	case p.Cwd == "" || p.Cwd[0] != '/':
		return fmt.Errorf("process.cwd %q is not an absolute path", p.Cwd)
	case strings.IndexByte(p.Cwd, 0) >= 0:
		return errors.New("process.cwd contains a NUL byte")
	}
	for i, a := range p.Args {
		if strings.IndexByte(a, 0) >= 0 {
			return fmt.Errorf("process.args[%d] contains a NUL byte", i)
		}
	}
	for i, e := range p.Env {
		if strings.IndexByte(e, 0) >= 0 {
			return fmt.Errorf("process.env[%d] contains a NUL byte", i)
		}
	}
	for i, r := range p.Rlimits {
		if ocispec.RlimitNumber(r.Type) < 0 {
			return fmt.Errorf("process.rlimits[%d].type: unknown limit %q", i, r.Type)
		}
		if r.Soft > r.Hard {
			return fmt.Errorf("process.rlimits[%d].soft is greater than its hard limit", i)
		}
	}
	return nil
}

// validateSysctl allows only sysctls of the container's own namespaces (R22). The value is
// written whole into one file; it cannot name another (CVE-2022-0811).
func validateSysctl(k, v string, ns uint64) error {
	name := strings.ReplaceAll(k, "/", ".")
	if strings.ContainsAny(k+v, "\x00\n") || strings.Contains(name, "..") || strings.Contains(v, "+") {
		return fmt.Errorf("linux.sysctl: %q=%q is not a plain name and value", k, v)
	}
	need := uint64(0)
	switch {
	case strings.HasPrefix(name, "net."):
		need = unix.CLONE_NEWNET
	case strings.HasPrefix(name, "kernel.msg"), strings.HasPrefix(name, "kernel.shm"), name == "kernel.sem", strings.HasPrefix(name, "fs.mqueue."):
		need = unix.CLONE_NEWIPC
	case name == "kernel.domainname":
		need = unix.CLONE_NEWUTS
	default:
		return fmt.Errorf("linux.sysctl: %q is not in a separate kernel namespace", k)
	}
	if ns&need == 0 {
		return fmt.Errorf("linux.sysctl: %q needs a namespace of the container's own", k)
	}
	return nil
}
