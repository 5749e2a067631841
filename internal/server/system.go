package server

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	registrytypes "github.com/moby/moby/api/types/registry"
	types "github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"
)

func (s *Server) ping(w http.ResponseWriter, r *request) error {
	h := w.Header()
	h.Set("Builder-Version", "1") // no BuildKit here
	h.Set("Swarm", "inactive")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		h.Set("Content-Length", "0")
		return nil
	}
	_, _ = w.Write([]byte("OK"))
	return nil
}

func (s *Server) version(w http.ResponseWriter, _ *request) error {
	api, least := fmt.Sprintf("1.%d", MaxVersion), fmt.Sprintf("1.%d", MinVersion)
	kernel := kernelVersion()
	return writeJSON(w, http.StatusOK, types.VersionResponse{
		Platform:      types.PlatformInfo{Name: "Hull"},
		Version:       s.facts.Version,
		APIVersion:    api,
		MinAPIVersion: least,
		Os:            runtime.GOOS,
		Arch:          runtime.GOARCH,
		GitCommit:     s.facts.Commit,
		GoVersion:     runtime.Version(),
		KernelVersion: kernel,
		Components: []types.ComponentVersion{{Name: "Engine", Version: s.facts.Version, Details: map[string]string{
			"ApiVersion": api, "MinAPIVersion": least, "Arch": runtime.GOARCH, "Os": runtime.GOOS,
			"GitCommit": s.facts.Commit, "GoVersion": runtime.Version(), "KernelVersion": kernel, "Experimental": "false", "BuildTime": "",
		}}},
	})
}

func kernelVersion() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

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
	return writeJSON(w, http.StatusOK, types.Info{
		ID:                 s.facts.ID,
		Images:             len(all),
		Driver:             s.facts.Snapshotter,
		DriverStatus:       [][2]string{},
		Plugins:            types.PluginsInfo{Volume: []string{}, Network: []string{}, Log: []string{}},
		Debug:              s.facts.Debug,
		NGoroutines:        runtime.NumGoroutine(),
		SystemTime:         time.Now().Format(time.RFC3339Nano),
		CgroupDriver:       "cgroupfs",
		KernelVersion:      kernelVersion(),
		OperatingSystem:    operatingSystem(),
		OSType:             runtime.GOOS,
		Architecture:       machine(),
		IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig:     &registrytypes.ServiceConfig{},
		NCPU:               runtime.NumCPU(),
		MemTotal:           int64(mem.Totalram) * int64(mem.Unit),
		DockerRootDir:      s.facts.DataRoot,
		Name:               host,
		Labels:             []string{},
		ServerVersion:      s.facts.Version,
		SecurityOptions:    []string{},
		Warnings:           []string{"hulld has images only: containers, networks and volumes are not there yet"},
	})
}

func machine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}

func operatingSystem() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "Linux"
}

// memTotal is the host's memory in bytes; 0 when it cannot be known.
func memTotal() uint64 {
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		return 0
	}
	return i.Totalram * uint64(i.Unit)
}
