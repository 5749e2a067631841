package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// layout makes directories under a temporary /sys/fs/cgroup and returns it with a function
// that takes "unified" (or the root, with v2) for a v2 mount and the rest for v1.
func layout(t *testing.T, v2 bool, dirs ...string) (root string, magic func(string) int64) {
	t.Helper()
	root = t.TempDir()
	for _, d := range dirs {
		if name, target, ok := strings.Cut(d, "->"); ok {
			if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root, func(p string) int64 {
		switch {
		case p == root && v2:
			return unix.CGROUP2_SUPER_MAGIC
		case p == root:
			return unix.TMPFS_MAGIC
		case p == root+"/unified":
			return unix.CGROUP2_SUPER_MAGIC
		case strings.HasSuffix(p, "/net_cls"): // a directory that is no mount
			return unix.TMPFS_MAGIC
		}
		return unix.CGROUP_SUPER_MAGIC
	}
}

func proc(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(h *Host, root string) string {
	var out []string
	for i := range h.Hierarchies {
		hi := &h.Hierarchies[i]
		name := hi.Name()
		if hi.V2 {
			name = "v2"
		}
		out = append(out, name+"@"+strings.TrimPrefix(hi.Mount, root))
	}
	return strings.Join(out, " ")
}

func TestDetect(t *testing.T) {
	all := []string{"cpuset", "memory", "devices", "freezer", "pids", "blkio"}
	for _, c := range []struct {
		name string
		v2   bool
		dirs []string
		mode Mode
		want string
	}{
		{"v2", true, nil, V2, "v2@"},
		{"v1 alone", false, append([]string{"cpu", "cpuacct"}, all...), V1,
			"cpuset@/cpuset cpu@/cpu cpuacct@/cpuacct memory@/memory devices@/devices freezer@/freezer blkio@/blkio pids@/pids"},
		{"two on one mount, with links", false,
			append([]string{"cpu,cpuacct", "cpu->cpu,cpuacct", "cpuacct->cpu,cpuacct", "unified", "systemd", "net_cls"}, all...), Hybrid,
			"cpuset@/cpuset cpu,cpuacct@/cpu,cpuacct memory@/memory devices@/devices freezer@/freezer blkio@/blkio pids@/pids name=systemd@/systemd v2@/unified"},
		{"two on one mount, other order, no links", false, append([]string{"cpuacct,cpu"}, all...), V1,
			"cpuset@/cpuset cpu,cpuacct@/cpuacct,cpu memory@/memory devices@/devices freezer@/freezer blkio@/blkio pids@/pids"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, magic := layout(t, c.v2, c.dirs...)
			// No mountinfo: the common case must not need it.
			h, err := detect(root, proc(t, nil), magic, "/nonexistent/cgroups")
			if err != nil {
				t.Fatal(err)
			}
			if got := names(h, root); got != c.want || h.Mode() != c.mode {
				t.Errorf("got  %v %s\nwant %v %s", h.Mode(), got, c.mode, c.want)
			}
		})
	}
}

const mountinfo = `20 1 8:1 / / rw - ext4 /dev/root rw
30 20 0:30 / /cg/mem\040ory rw,nosuid - cgroup cgroup rw,memory
31 20 0:31 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct
32 20 0:32 /docker/abc /cg/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd
33 20 0:33 / /cg/unified rw - cgroup2 cgroup2 rw,nsdelegate
34 20 0:30 / /later/memory rw - cgroup cgroup rw,memory
`

func TestDetectUnusualMounts(t *testing.T) {
	root, magic := layout(t, false, "cpuset", "cpu", "devices", "freezer", "pids", "blkio")
	// memory is on hierarchy 4, but not under root.
	cgroups := proc(t, map[string]string{"cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t1\t1\n"})
	h, err := detect(root, proc(t, map[string]string{"mountinfo": mountinfo}), magic, cgroups+"/cgroups")
	if err != nil {
		t.Fatal(err)
	}
	want := "cpu,cpuacct@/cg/cpu memory@/cg/mem ory name=systemd@/cg/systemd v2@/cg/unified"
	if got := names(h, ""); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A kernel without the controller is no reason to read mountinfo.
	cgroups = proc(t, map[string]string{"cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t0\n"})
	if h, err = detect(root, proc(t, nil), magic, cgroups+"/cgroups"); err != nil || h.v1("cpu") == nil {
		t.Errorf("memory off: %v %v", h, err)
	}
}

func TestOwn(t *testing.T) {
	root, magic := layout(t, false, "cpuset", "cpu", "memory/user/me", "devices", "freezer", "pids", "blkio", "systemd", "unified")
	self := proc(t, map[string]string{
		"cgroup": "9:name=systemd:/docker/abc/inner\n4:memory:/user/me\n1:cpu,cpuacct:/\n3:cpuset:/gone\n0::/\n",
		"mountinfo": "1 1 0:1 /docker/abc " + root + "/systemd rw - cgroup cgroup rw,name=systemd\n" +
			"1 1 0:1 /else " + root + "/cpuset rw - cgroup cgroup rw,cpuset\n",
	})
	h, err := detect(root, self, magic, "/nonexistent/cgroups")
	if err != nil {
		t.Fatal(err)
	}
	for controller, want := range map[string]string{"memory": "/user/me", "cpu": "/", "name=systemd": "/inner", "cpuset": "!", "": "/", "pids": "!"} {
		hi := h.v2()
		if controller != "" {
			hi = h.v1(controller)
		}
		got, err := h.Own(hi)
		if (err != nil) != (want == "!") || (err == nil && got != want) {
			t.Errorf("%q: got %q, %v, want %q", controller, got, err, want)
		}
	}
}

func TestMountLine(t *testing.T) {
	m, ok := parseMountLine(`36 35 98:0 /a\134b /m\011nt\05 rw master:1 - cgroup2 none rw,x`)
	if !ok || m.root != `/a\b` || m.point != "/m\tnt\\05" || m.fs != "cgroup2" || m.options != "rw,x" {
		t.Errorf("%+v %v", m, ok)
	}
	for _, bad := range []string{"", "36 35 98:0 / / rw", "1 2 - cgroup x rw", "36 35 98:0 / / rw - cgroup"} {
		if _, ok := parseMountLine(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestModeString(t *testing.T) {
	var got []string
	for _, m := range []Mode{None, V1, V2, Hybrid} {
		got = append(got, m.String())
	}
	if !slices.Equal(got, []string{"none", "v1", "v2", "hybrid"}) {
		t.Error(got)
	}
}
