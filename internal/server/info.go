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
	types "github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"
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
	i := types.Info{
		ID:                 s.facts.ID,
		Images:             len(all),
		Driver:             s.facts.Snapshotter,
		DriverStatus:       [][2]string{},
		Plugins:            types.PluginsInfo{Volume: []string{}, Network: []string{}, Log: []string{}},
		IPv4Forwarding:     readLine("/proc/sys/net/ipv4/ip_forward") == "1",
		Debug:              s.facts.Debug,
		NFd:                countDescriptors(),
		NGoroutines:        runtime.NumGoroutine(),
		SystemTime:         time.Now().Format(time.RFC3339Nano),
		CgroupDriver:       "cgroupfs",
		NEventsListener:    s.bus.Listeners(),
		KernelVersion:      kernelVersion(),
		OperatingSystem:    release["PRETTY_NAME"],
		OSVersion:          release["VERSION_ID"],
		OSType:             runtime.GOOS,
		Architecture:       machine(),
		IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig:     s.registryConfig(),
		NCPU:               runtime.NumCPU(),
		MemTotal:           int64(mem.Totalram) * int64(mem.Unit),
		DockerRootDir:      s.facts.DataRoot,
		HTTPProxy:          proxy("http_proxy"),
		HTTPSProxy:         proxy("https_proxy"),
		NoProxy:            proxy("no_proxy"),
		Name:               host,
		Labels:             []string{},
		ServerVersion:      s.facts.Version,
		SecurityOptions:    []string{},
		Warnings:           []string{"hulld has images only: containers, networks and volumes are not there yet"},
	}
	hostLimits(&i)
	return writeJSON(w, http.StatusOK, i)
}

// hostLimits says which limits the host's cgroups have.
func hostLimits(i *types.Info) {
	has := func(path string) bool { _, err := os.Stat("/sys/fs/cgroup/" + path); return err == nil }
	if !has("cgroup.controllers") {
		i.CgroupVersion = "1"
		i.MemoryLimit = has("memory/memory.limit_in_bytes")
		i.SwapLimit = has("memory/memory.memsw.limit_in_bytes")
		i.CPUCfsPeriod, i.CPUCfsQuota = has("cpu/cpu.cfs_period_us"), has("cpu/cpu.cfs_quota_us")
		i.CPUShares, i.CPUSet = has("cpu/cpu.shares"), has("cpuset/cpuset.cpus")
		i.PidsLimit, i.OomKillDisable = has("pids"), has("memory/memory.oom_control")
		return
	}
	i.CgroupVersion = "2"
	controllers := strings.Fields(readLine("/sys/fs/cgroup/cgroup.controllers"))
	on := func(name string) bool { return slices.Contains(controllers, name) }
	i.MemoryLimit, i.SwapLimit = on("memory"), on("memory") // swap accounting cannot be seen in the root group
	i.CPUCfsPeriod, i.CPUCfsQuota, i.CPUShares = on("cpu"), on("cpu"), on("cpu")
	i.CPUSet, i.PidsLimit = on("cpuset"), on("pids")
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
