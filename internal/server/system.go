package server

import (
	"fmt"
	"net/http"
	"runtime"

	types "github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"
)

func (s *Server) ping(w http.ResponseWriter, r *request) error {
	h := w.Header()
	h.Set("Builder-Version", s.builderVersion())
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

// memTotal is the host's memory in bytes; 0 when it cannot be known.
func memTotal() uint64 {
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		return 0
	}
	return i.Totalram * uint64(i.Unit)
}

// builderVersion is the builder that clients shall use: 2 is BuildKit.
func (s *Server) builderVersion() string {
	if s.builds == nil {
		return "1"
	}
	return "2"
}
