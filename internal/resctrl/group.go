package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Group is what linux.intelRdt asks for: a class and perhaps a monitoring group.
type Group struct {
	root, class, monitor string // directories; no monitor: ""
	named                bool   // by closID
	lines                []string
}

// New computes the group of a container. It looks at nothing: closID has been checked to be one
// name of a directory, or "/".
func New(root, id string, c *specs.LinuxIntelRdt) *Group {
	g := &Group{root: root, named: c.ClosID != ""}
	switch c.ClosID {
	case "":
		g.class = filepath.Join(root, id)
	case "/":
		g.class = root
	default:
		g.class = filepath.Join(root, c.ClosID)
	}
	if c.EnableMonitoring {
		g.monitor = filepath.Join(g.class, "mon_groups", id)
	}
	for _, l := range append([]string{c.L3CacheSchema, c.MemBwSchema}, c.Schemata...) { // in the order that the specification demands
		if l != "" {
			g.lines = append(g.lines, l)
		}
	}
	return g
}

// Tasks are the files to write a thread's number to, 0 for the writer's own: the class before
// its monitoring group, as the kernel wants it.
func (g *Group) Tasks() []string {
	list := []string{filepath.Join(g.class, "tasks")}
	if g.monitor != "" {
		list = append(list, filepath.Join(g.monitor, "tasks"))
	}
	return list
}

// Create makes what is missing. made are the directories to [Remove] with the container: its
// monitoring group, and its class unless that was there before or is named by closID.
func (g *Group) Create() (made []string, err error) {
	undo := []string{}
	defer func() {
		if err != nil {
			made = nil
			Remove(undo)
		}
	}()
	if g.named && len(g.lines) == 0 {
		if _, err := os.Lstat(g.class); err != nil {
			return nil, fmt.Errorf("linux.intelRdt.closID: nothing says what the class should get, and it does not exist: %w", err)
		}
	}
	err = os.Mkdir(g.class, 0o755)
	switch {
	case err == nil:
		undo = append(undo, g.class)
		if !g.named {
			made = append(made, g.class)
		}
		err = g.write()
	case errors.Is(err, os.ErrExist) && g.named:
		err = g.compare()
	case errors.Is(err, os.ErrExist):
		err = g.write()
	default:
		err = g.explain("make the class", err)
	}
	if err != nil || g.monitor == "" {
		return made, err
	}
	// One of the container's name is left of a container that was cut off, and ours.
	if err = os.Mkdir(g.monitor, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, g.explain("make the monitoring group", err)
	}
	err = nil
	return append(made, g.monitor), nil
}

func (g *Group) write() error {
	if len(g.lines) == 0 {
		return nil
	}
	err := os.WriteFile(filepath.Join(g.class, "schemata"), []byte(strings.Join(g.lines, "\n")+"\n"), 0o644)
	if err != nil {
		return g.explain("write", err)
	}
	return nil
}

// compare checks that a class that was there before gives what is asked for.
func (g *Group) compare() error {
	if len(g.lines) == 0 {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(g.class, "schemata"))
	if err != nil {
		return g.explain("read", err)
	}
	there := strings.Split(string(b), "\n")
	for _, want := range g.lines {
		if !hasLine(there, want) {
			return fmt.Errorf("linux.intelRdt: the class %s exists and does not give %q", g.class, want)
		}
	}
	return nil
}

// hasLine says whether a line of schemata is among others that the kernel has printed: in its own
// order, padded with blanks and zeros.
func hasLine(lines []string, want string) bool {
	resource, list, _ := strings.Cut(strings.TrimSpace(want), ":")
	for _, l := range lines {
		r, have, ok := strings.Cut(strings.TrimSpace(l), ":")
		if !ok || r != resource {
			continue
		}
		all := true
		for w := range strings.SplitSeq(list, ";") {
			found := false
			for h := range strings.SplitSeq(have, ";") {
				found = found || plain(h) == plain(w)
			}
			all = all && found
		}
		return all
	}
	return false
}

// plain is "0=00FF" as "0=ff".
func plain(s string) string {
	id, value, _ := strings.Cut(strings.ToLower(s), "=")
	strip := func(s string) string {
		s = strings.TrimSpace(s)
		if t := strings.TrimLeft(s, "0"); t != "" || s == "" {
			return t
		}
		return "0"
	}
	return strip(id) + "=" + strip(value)
}

// explain adds the reason that the kernel keeps of the last command that it refused.
func (g *Group) explain(what string, err error) error {
	b, e := os.ReadFile(filepath.Join(g.root, "info/last_cmd_status"))
	if status := strings.TrimSpace(string(b)); e == nil && status != "" && status != "ok" {
		return fmt.Errorf("linux.intelRdt: %s: %w (%s)", what, err, status)
	}
	return fmt.Errorf("linux.intelRdt: %s: %w", what, err)
}

// Remove removes directories that Create made, last first. One that is gone is no error.
func Remove(made []string) error {
	var first error
	for i := len(made) - 1; i >= 0; i-- {
		if err := os.Remove(made[i]); err != nil && !errors.Is(err, os.ErrNotExist) && first == nil {
			first = err
		}
	}
	return first
}
