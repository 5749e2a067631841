package build

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
)

// Classic writes what happens in a build as Docker's classic builder does: "Step 2/3 : RUN …", what the
// instruction prints, "Using cache". Steps are numbered in each stage, as BuildKit numbers them.
type Classic struct {
	Out, Err io.Writer // standard output and error of instructions; Out has the headings, too

	started map[string]bool
	names   map[string]string
	done    map[string]bool
}

// heading is "[stage-1 2/3] RUN true" or "[2/3] RUN true".
var heading = regexp.MustCompile(`^\[(?:(\S+) +)?(\d+/\d+)\] (.*)$`)

// Trace is for Builder.Build.
func (c *Classic) Trace(r *controlapi.StatusResponse) error {
	if c.started == nil {
		c.started, c.names, c.done = make(map[string]bool), make(map[string]string), make(map[string]bool)
	}
	for _, v := range r.Vertexes {
		m := heading.FindStringSubmatch(v.Name)
		if m == nil {
			continue
		}
		if v.Started != nil && !c.started[v.Digest] {
			c.started[v.Digest] = true
			text := fmt.Sprintf("Step %s : %s\n", m[2], m[3])
			if m[1] != "" && !strings.HasPrefix(m[1], "stage-") {
				text = fmt.Sprintf("Step %s : %s (stage %s)\n", m[2], m[3], m[1])
			}
			if _, err := io.WriteString(c.Out, text); err != nil {
				return err
			}
		}
		if v.Completed != nil && !c.done[v.Digest] {
			c.done[v.Digest] = true
			if v.Cached {
				if _, err := io.WriteString(c.Out, " ---> Using cache\n"); err != nil {
					return err
				}
			}
		}
	}
	for _, l := range r.Logs {
		w := c.Out
		if l.Stream == 2 {
			w = c.Err
		}
		if _, err := w.Write(l.Msg); err != nil {
			return err
		}
	}
	for _, w := range r.Warnings {
		if _, err := fmt.Fprintf(c.Err, "[Warning] %s\n", w.Short); err != nil {
			return err
		}
	}
	return nil
}
