package build

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/hull-dev/hull/internal/spec"
	"github.com/hull-dev/hull/internal/userdb"
)

// document is the runtime configuration of an instruction.
type document struct{ spec *specs.Spec }

// document makes the runtime configuration of an instruction: that of a container with the same
// hardening as of `hull run`.
func (s *steps) document(st *step, readonly bool, mounts []spec.Mount, files spec.Files, p executor.ProcessInfo) (*document, error) {
	m := p.Meta
	if len(m.CDIDevices) > 0 {
		return nil, errors.New("devices by CDI are not available in builds")
	}
	found, err := userdb.LookupUserSpec(int(st.root.Fd()), m.User)
	if err != nil {
		return nil, fmt.Errorf("unable to find %w", err)
	}
	config := &container.Config{Cmd: m.Args, Env: m.Env, WorkingDir: m.Cwd, User: m.User, Hostname: hostname(m), Tty: m.Tty, OpenStdin: p.Stdin != nil}
	host := &container.HostConfig{NetworkMode: "none", ReadonlyRootfs: m.ReadonlyRootFS || readonly}
	host.CgroupParent = m.CgroupParent
	switch m.NetMode {
	case pb.NetMode_HOST:
		host.NetworkMode = "host"
	case pb.NetMode_NONE:
	default:
		if s.b.c.Networks == nil {
			return nil, errors.New("there are no networks here: use --network none or host")
		}
		host.NetworkMode = "bridge"
	}
	host.Privileged = m.SecurityMode == pb.SecurityMode_INSECURE // the solver has checked that it is allowed
	for _, u := range m.Ulimit {
		host.Ulimits = append(host.Ulimits, &container.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	if r := m.LinuxResources; r != nil {
		host.Memory, host.MemorySwap, host.CPUShares, host.CPUPeriod, host.CPUQuota = r.Memory, r.MemorySwap, int64(r.CpuShares), int64(r.CpuPeriod), r.CpuQuota
		host.CpusetCpus, host.CpusetMems = r.CpusetCpus, r.CpusetMems
	}
	if _, err := spec.Validate(config, host, s.b.c.Facts); err != nil {
		return nil, err
	}
	devices, err := spec.ResolveDevices(host)
	if err != nil {
		return nil, err
	}
	d, _, err := spec.Build(spec.Input{
		ID: st.id, Config: config, Host: host, Facts: s.b.c.Facts, Root: "rootfs", Profile: s.b.c.Profile, Mounts: mounts, Devices: devices, Files: files,
		User: spec.User{UID: found.UID, GID: found.GID, Groups: found.Groups},
	})
	if err != nil {
		return nil, err
	}
	// Of the environment the solver says all: what an instruction sees is part of what its result is
	// remembered by.
	d.Process.Env = m.Env
	return &document{d}, nil
}

// hostname is that of an instruction, BuildKit's if none is asked for.
func hostname(m executor.Meta) string {
	if m.Hostname != "" {
		return m.Hostname
	}
	return "buildkitsandbox"
}

func hostsOf(m executor.Meta) (out []Host) {
	for _, h := range m.ExtraHosts {
		out = append(out, Host{h.Host, h.IP.String()})
	}
	return out
}

// writeFiles makes an instruction's /etc/hosts and /etc/resolv.conf. A network that it is connected
// to says later what is in them.
func writeFiles(dir string, m executor.Meta) (f spec.Files, err error) {
	f = spec.Files{Hosts: filepath.Join(dir, "hosts"), ResolvConf: filepath.Join(dir, "resolv.conf")}
	hosts := "127.0.0.1\tlocalhost " + hostname(m) + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for _, h := range m.ExtraHosts {
		hosts += h.IP.String() + "\t" + h.Host + "\n"
	}
	var resolv []byte
	if m.NetMode == pb.NetMode_HOST {
		if resolv, err = os.ReadFile("/etc/resolv.conf"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	return f, errors.Join(rewrite(f.Hosts, []byte(hosts)), rewrite(f.ResolvConf, resolv))
}

// rewrite writes a file that may be mounted in a container: in place.
func rewrite(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("making a file of an instruction's /etc: %w", err)
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Chmod(0o644), file.Close())
}

// startCode is the exit code of a command that could not be started.
func startCode(err error) int {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		return 127
	case strings.Contains(text, "permission denied"), strings.Contains(text, "is a directory"):
		return 126
	}
	return 128
}

// asReader and asWriter keep a nil one a nil interface.
func asReader(r io.ReadCloser) io.Reader {
	if r == nil {
		return nil
	}
	return r
}

func asWriter(w io.WriteCloser) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
