package server

import (
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// hostPS is the host's own ps. Nothing of a container is run: it reads /proc, and what it prints is cut
// down to the container's processes.
const hostPS = "/bin/ps"

func (s *Server) containerTop(w http.ResponseWriter, r *request, name string) error {
	words := strings.Fields(r.FormValue("ps_args"))
	if len(words) == 0 {
		words = []string{"-ef"}
	}
	pids, _, err := s.containers.Processes(r.Context(), name)
	if err != nil {
		return err
	}
	if err := checkPS(words); err != nil {
		return err
	}
	cmd := exec.CommandContext(r.Context(), hostPS, words...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		text := err.Error()
		if ee, ok := err.(*exec.ExitError); ok && len(ee.Stderr) > 0 { //nolint:errorlint // Output returns it bare
			text = strings.TrimSpace(string(ee.Stderr))
		}
		return errdefs.ErrInvalidArgument.WithMessage("error running ps: " + text)
	}
	table, err := psTable(string(out), pids)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, table)
}

// checkPS refuses words that would make ps show its output without the pid.
func checkPS(words []string) error {
	for _, w := range words {
		// Docker's rule: a column named with "=" loses its heading.
		for f := range strings.SplitSeq(w, ",") {
			name, _, has := strings.Cut(f, "=")
			if has && name != "pid" && strings.TrimSpace(name) != "" && strings.Contains(f, "=PID") {
				return errdefs.ErrInvalidArgument.WithMessage("specifying \"" + f + "\" is not allowed")
			}
		}
	}
	return nil
}

// psTable keeps the lines of ps's output that are of the processes.
func psTable(text string, pids []int) (*container.TopResponse, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	out := &container.TopResponse{Titles: strings.Fields(lines[0]), Processes: [][]string{}}
	at := slices.Index(out.Titles, "PID")
	if at < 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("Couldn't find PID field in ps output")
	}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) <= at {
			continue
		}
		pid, err := strconv.Atoi(f[at])
		if err != nil || !slices.Contains(pids, pid) {
			continue
		}
		// What is after the last title's beginning is one column: a command has blanks in it.
		if n := len(out.Titles); len(f) > n {
			f = append(f[:n-1:n-1], strings.Join(f[n-1:], " "))
		}
		out.Processes = append(out.Processes, f)
	}
	return out, nil
}
