package ociruntime

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestRel(t *testing.T) {
	for name, want := range map[string]string{"/": ".", "": ".", ".": ".", "..": ".", "/../..": ".", "a": "a", "//a//b/": "a/b", "/a/../../b": "b", "a/./b": "a/b"} {
		if got := rel(name); got != want {
			t.Errorf("rel(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestLookPath(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  []string
		want []string
	}{
		{"/bin/sh", []string{"PATH=/x"}, []string{"/bin/sh"}},
		{"./sh", nil, []string{"./sh"}},
		{"sh", []string{"PATH=/x:/y"}, []string{"/x/sh", "/y/sh"}},
		{"sh", []string{"PATH=:/y:"}, []string{"./sh", "/y/sh", "./sh"}},
		{"sh", []string{"PATH=/x", "PATH=/y"}, []string{"/y/sh"}},
		{"sh", []string{"PATH="}, []string{"./sh"}},
	} {
		if got := lookPath(tc.name, tc.env); !slices.Equal(got, tc.want) {
			t.Errorf("lookPath(%q, %q) = %q, want %q", tc.name, tc.env, got, tc.want)
		}
	}
	if n := len(lookPath("sh", nil)); n != 6 {
		t.Errorf("without PATH %d places are searched, want 6", n)
	}
	if n := len(lookPath("sh", []string{"PATH=" + strings.Repeat("/a:", 5000)})); n != maxSearch {
		t.Errorf("%d places are searched, want at most %d", n, maxSearch)
	}
}

// TestPhrases: each phrase of the planner alone, as text.
func TestPhrases(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(p *planner)
		want  string
	}{
		{"open in the root", func(p *planner) { p.openIn("/a/../b", unix.O_PATH, p.target) }, `
000 $target = openat2($root, "b", {0x280000 00 0x12}, 24)
`},
		{"resolve a directory", func(p *planner) { p.resolve("/a/b", false) }, `
000 $target = openat2($root, "a/b", {0x280000 00 0x12}, 24) ok ENOENT else 002
001 jump() else 009
002 $parent = openat2($root, ".", {0x290000 00 0x12}, 24)
003 mkdirat($parent, "a", 0755) ok EEXIST
004 close($parent)
005 $parent = openat2($root, "a", {0x290000 00 0x12}, 24)
006 mkdirat($parent, "b", 0755) ok EEXIST
007 close($parent)
008 $target = openat2($root, "a/b", {0x280000 00 0x12}, 24)
009 exit(0)
`},
		{"resolve a file", func(p *planner) { p.resolve("f", true) }, `
000 $target = openat2($root, "f", {0x280000 00 0x12}, 24) ok ENOENT else 002
001 jump() else 006
002 $parent = openat2($root, ".", {0x290000 00 0x12}, 24)
003 mknodat($parent, "f", 0100644, 0) ok EEXIST
004 close($parent)
005 $target = openat2($root, "f", {0x280000 00 0x12}, 24)
006 exit(0)
`},
		{"a new file system", func(p *planner) {
			p.newFS("tmpfs", "src", []string{"size=1k", "", "ro"}, unix.MOUNT_ATTR_NOSUID)
		}, `
000 $fs = fsopen("tmpfs", 0x1)
001 fsconfig($fs, 1, "source", "src", 0)
002 fsconfig($fs, 1, "size", "1k", 0)
003 fsconfig($fs, 0, "ro", 0, 0)
004 fsconfig($fs, 6, 0, 0, 0)
005 $tree = fsmount($fs, 0x1, 0x2)
006 close($fs)
`},
		{"attach", func(p *planner) { p.attach(p.tree) }, `
000 move_mount($tree, "", $target, "", 0x44)
`},
		{"join cgroups", func(p *planner) { p.joinCgroups([]string{"/cg/tasks"}) }, `
000 $target = openat(-100, "/cg/tasks", 0x80001, 0)
001 write($target, "0", 1) want 1
002 close($target)
`},
		{"no pivot_root", func(p *planner) { p.enterRoot(&box{spec: &specs.Spec{Linux: &specs.Linux{}}, noPivot: true}) }, `
000 $oldroot = openat(-100, "/", 0x290000, 0)
001 fchdir($root)
002 close($oldroot)
003 chroot(".")
`},
		{"capabilities", func(p *planner) { p.capset(1<<40|1, 3, 1<<33) }, `
000 capset(mem, {0x1 0x3 0x0 0x100 0x0 0x2})
`},
		{"hand over a descriptor", func(p *planner) { p.sendFD(900, p.tree) }, `
000 store32(mem, $tree)
001 sendmsg(@sync, mem, 0) want 1
`},
		{"a bound device", func(p *planner) { p.bindNode("/dev/null", unix.S_IFCHR, 1, 3) }, `
000 $tree = open_tree(-100, "/dev/null", 0x80001)
001 statx($tree, "", 0x1000, 0x1, mem)
002 assert(mem, 0xf000, 0x2000, 19)
003 assert(mem, 0xffffffff, 0x1, 19)
004 assert(mem, 0xffffffff, 0x3, 19)
005 $target = openat2($root, "dev/null", {0x280000 00 0x12}, 24) ok ENOENT else 007
006 jump() else 014
007 $parent = openat2($root, ".", {0x290000 00 0x12}, 24)
008 mkdirat($parent, "dev", 0755) ok EEXIST
009 close($parent)
010 $parent = openat2($root, "dev", {0x290000 00 0x16}, 24)
011 mknodat($parent, "null", 0100644, 0) ok EEXIST
012 close($parent)
013 $target = openat2($root, "dev/null", {0x280000 00 0x12}, 24)
014 move_mount($tree, "", $target, "", 0x44)
015 close($tree)
016 close($target)
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlanner()
			tc.write(p)
			if strings.Contains(tc.want, "exit(0)") { // where a label at the end points to
				p.Exit(0)
			}
			var got strings.Builder
			for line := range strings.Lines(string(p.AppendText(nil))) {
				if !strings.HasPrefix(line, "#") {
					got.WriteString(line)
				}
			}
			if want := strings.TrimPrefix(tc.want, "\n"); got.String() != want {
				t.Errorf("got\n%swant\n%s", got.String(), want)
			}
		})
	}
}
