package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	registrytypes "github.com/moby/moby/api/types/registry"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/engine"
)

func (s *Server) info(w http.ResponseWriter, r *request) error {
	all, err := s.images.Images(r.Context())
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	var mem unix.Sysinfo_t
	if err := unix.Sysinfo(&mem); err != nil {
		return fmt.Errorf("asking for the memory of the host: %w", err)
	}
	release := osRelease()
	i := s.facts.Info
	i.ID, i.Name, i.DockerRootDir, i.ServerVersion, i.Debug = s.facts.ID, host, s.facts.DataRoot, s.facts.Version, s.facts.Debug
	i.Images, i.Driver, i.DriverStatus = len(all), s.facts.Snapshotter, [][2]string{}
	i.IPv4Forwarding = readLine("/proc/sys/net/ipv4/ip_forward") == "1"
	i.NFd, i.NGoroutines, i.NEventsListener = countDescriptors(), runtime.NumGoroutine(), s.bus.Listeners()
	i.SystemTime = time.Now().Format(time.RFC3339Nano)
	i.KernelVersion, i.OperatingSystem, i.OSVersion = kernelVersion(), release["PRETTY_NAME"], release["VERSION_ID"]
	i.OSType, i.Architecture = runtime.GOOS, machine()
	i.IndexServerAddress, i.RegistryConfig = "https://index.docker.io/v1/", s.registryConfig()
	i.NCPU, i.MemTotal = runtime.NumCPU(), int64(mem.Totalram)*int64(mem.Unit)
	i.HTTPProxy, i.HTTPSProxy, i.NoProxy = proxy("http_proxy"), proxy("https_proxy"), proxy("no_proxy")
	i.Swarm.LocalNodeState = "inactive"
	for _, v := range s.containers.Views() {
		i.Containers++
		switch v.State.Phase {
		case engine.Running, engine.Restarting:
			i.ContainersRunning++
		case engine.Paused:
			i.ContainersPaused++
		default:
			i.ContainersStopped++
		}
	}
	return writeJSON(w, http.StatusOK, i)
}

// registryConfig is what hulld was told of registries.
func (s *Server) registryConfig() *registrytypes.ServiceConfig {
	c := &registrytypes.ServiceConfig{
		InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		IndexConfigs:          map[string]*registrytypes.IndexInfo{"docker.io": {Name: "docker.io", Mirrors: slices.Concat([]string{}, s.facts.Mirrors), Secure: true, Official: true}},
		Mirrors:               slices.Concat([]string{}, s.facts.Mirrors),
	}
	for _, i := range s.facts.Insecure {
		if p, err := netip.ParsePrefix(i); err == nil {
			c.InsecureRegistryCIDRs = append(c.InsecureRegistryCIDRs, p)
			continue
		}
		c.IndexConfigs[i] = &registrytypes.IndexInfo{Name: i, Mirrors: []string{}}
	}
	return c
}

// proxy is a setting of hulld's environment, without what may be a password in it (R17).
func proxy(name string) string {
	v := os.Getenv(strings.ToUpper(name))
	if v == "" {
		v = os.Getenv(name)
	}
	u, err := url.Parse(v)
	if err != nil || u.User == nil {
		return v
	}
	u.User = url.UserPassword("xxxxx", "xxxxx")
	return u.String()
}

func countDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

func readLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func machine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}

// osRelease is os-release(5), with a name where the host has none.
func osRelease() map[string]string {
	out := map[string]string{"PRETTY_NAME": "Linux"}
	for line := range strings.Lines(readLine("/etc/os-release")) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			out[k] = strings.Trim(v, `"'`)
		}
	}
	return out
}
