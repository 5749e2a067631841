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

	"github.com/hull-dev/hull/internal/engine"
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
	out := s.facts.Info
	out.ID, out.Name, out.DockerRootDir, out.ServerVersion, out.Debug = s.facts.ID, host, s.facts.DataRoot, s.facts.Version, s.facts.Debug
	out.Images, out.Driver, out.DriverStatus = len(all), s.facts.Snapshotter, [][2]string{}
	out.NGoroutines, out.SystemTime = runtime.NumGoroutine(), time.Now().Format(time.RFC3339Nano)
	out.KernelVersion, out.OperatingSystem, out.OSType, out.Architecture = kernelVersion(), operatingSystem(), runtime.GOOS, machine()
	out.IndexServerAddress, out.RegistryConfig = "https://index.docker.io/v1/", &registrytypes.ServiceConfig{}
	out.NCPU, out.MemTotal = runtime.NumCPU(), int64(mem.Totalram)*int64(mem.Unit)
	out.Swarm.LocalNodeState = "inactive"
	for _, v := range s.containers.Views() {
		out.Containers++
		switch v.State.Phase {
		case engine.Running, engine.Restarting:
			out.ContainersRunning++
		case engine.Paused:
			out.ContainersPaused++
		default:
			out.ContainersStopped++
		}
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		out.NFd = len(fds)
	}
	return writeJSON(w, http.StatusOK, out)
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
