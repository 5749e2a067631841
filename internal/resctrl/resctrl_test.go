package resctrl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fake is a directory with files like those of resctrl. The kernel makes a class's files with its
// directory; here they come from writing, and a class that is there before has them from the test.
func fake(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const class = "    L3:0=00ff;1=0f0\n    MB:0= 20;1=100\n"

func TestCreate(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		config specs.LinuxIntelRdt
		made   []string
		wrote  string // into schemata of the class
		err    string
	}{
		{"named after the container", nil, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", Schemata: []string{"L2:0=1"}}, []string{"id"}, "L3:0=f\nMB:0=20\nL2:0=1\n", ""},
		{"nothing to write", nil, specs.LinuxIntelRdt{}, []string{"id"}, "", ""},
		{"there before, named after the container", map[string]string{"id/tasks": ""}, specs.LinuxIntelRdt{MemBwSchema: "MB:0=20"}, nil, "MB:0=20\n", ""},
		{"made by closID: stays", nil, specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"MB:0=20"}}, nil, "MB:0=20\n", ""},
		{"closID that fits", map[string]string{"gold/schemata": class}, specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:1=F0", MemBwSchema: "MB:1=100;0=20"}, nil, class, ""},
		{"closID that does not fit", map[string]string{"gold/schemata": class}, specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7f"}, nil, class, `gold exists and does not give "L3:0=7f"`},
		{"closID alone", map[string]string{"gold/schemata": class}, specs.LinuxIntelRdt{ClosID: "gold"}, nil, class, ""},
		{"closID alone, missing", nil, specs.LinuxIntelRdt{ClosID: "gold"}, nil, "", "linux.intelRdt.closID: nothing says"},
		{"default class", map[string]string{"schemata": class}, specs.LinuxIntelRdt{ClosID: "/"}, nil, class, ""},
		{"monitoring", map[string]string{"gold/schemata": class, "gold/mon_groups/other/tasks": ""}, specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, []string{"gold/mon_groups/id"}, class, ""},
		{"monitoring, left over", map[string]string{"gold/schemata": class, "gold/mon_groups/id/tasks": ""}, specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, []string{"gold/mon_groups/id"}, class, ""},
		{"monitoring that cannot be", map[string]string{"gold/schemata": class, "info/last_cmd_status": "Out of RMIDs\n"}, specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, nil, class, "(Out of RMIDs)"},
		{"monitoring fails, class made", nil, specs.LinuxIntelRdt{EnableMonitoring: true}, nil, "", "make the monitoring group"},
	} {
		root := fake(t, c.files)
		g := New(root, "id", &c.config)
		made, err := g.Create()
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		for i := range made {
			made[i], _ = filepath.Rel(root, made[i])
		}
		if !slices.Equal(made, c.made) {
			t.Errorf("%s: made %v, want %v", c.name, made, c.made)
		}
		name := c.config.ClosID
		if name == "" {
			name = "id"
		}
		if got, _ := os.ReadFile(filepath.Join(root, name, "schemata")); string(got) != c.wrote {
			t.Errorf("%s: schemata %q, want %q", c.name, got, c.wrote)
		}
		if _, err := os.Stat(filepath.Join(root, "id")); c.err != "" && err == nil {
			t.Errorf("%s: the class is left after an error", c.name)
		}
	}
}

func TestTasks(t *testing.T) {
	for _, c := range []struct {
		config specs.LinuxIntelRdt
		want   []string
	}{
		{specs.LinuxIntelRdt{}, []string{"/r/id/tasks"}},
		{specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}, []string{"/r/tasks", "/r/mon_groups/id/tasks"}},
		{specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, []string{"/r/gold/tasks", "/r/gold/mon_groups/id/tasks"}},
	} {
		if got := New("/r", "id", &c.config).Tasks(); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.config, got, c.want)
		}
	}
}

func TestRemove(t *testing.T) {
	root := fake(t, map[string]string{"a/b/x": ""})
	os.Remove(filepath.Join(root, "a/b/x"))
	if err := Remove([]string{filepath.Join(root, "a"), filepath.Join(root, "a/b"), filepath.Join(root, "gone")}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "a")); err == nil {
		t.Error("a directory is left")
	}
}

func TestMountPoint(t *testing.T) {
	const info = "22 1 0:20 / /sys rw - sysfs sysfs rw\n40 22 0:33 / /srv/r\\040x rw,nosuid shared:9 - resctrl resctrl rw\n"
	if got := mountPoint(info); got != "/srv/r x" {
		t.Errorf("found %q", got)
	}
	if got := mountPoint("22 1 0:20 / /resctrl rw - sysfs resctrl rw\n"); got != "" {
		t.Errorf("found %q where there is none", got)
	}
}
