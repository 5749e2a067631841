package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func idMap(n ...uint32) (list []specs.LinuxIDMapping) {
	for i := 0; i < len(n); i += 3 {
		list = append(list, specs.LinuxIDMapping{ContainerID: n[i], HostID: n[i+1], Size: n[i+2]})
	}
	return list
}

func TestInsideAndMapped(t *testing.T) {
	m := idMap(0, 1000, 1, 1, 100000, 65535, 70000, 4294967290, 5)
	for _, tc := range []struct {
		host, id uint32
		ok       bool
	}{{1000, 0, true}, {1001, 0, false}, {99999, 0, false}, {100000, 1, true}, {165534, 65535, true}, {165535, 0, false}, {4294967294, 70004, true}, {4294967295, 0, false}} {
		if id, ok := inside(m, tc.host); ok != tc.ok || id != tc.id {
			t.Errorf("inside(%d) = %d, %v", tc.host, id, ok)
		}
		if tc.ok && !mapped(m, tc.id) {
			t.Errorf("%d is not mapped", tc.id)
		}
	}
	for _, id := range []uint32{65536, 69999, 70005, 4294967295} {
		if mapped(m, id) {
			t.Errorf("%d is in a gap, and said to be mapped", id)
		}
	}
}

// TestNewMapsSetgroups: who may not be trusted with setgroups(2) does not get it.
func TestNewMapsSetgroups(t *testing.T) {
	const all = ^uint64(0)
	for _, tc := range []struct {
		name string
		c    caller
		gids []specs.LinuxIDMapping
		want bool
	}{
		{"root", caller{caps: all, groups: true}, idMap(0, 100000, 65536), true},
		{"root, one id", caller{caps: all, groups: true}, idMap(0, 0, 1), true},
		{"a user's own group", caller{gid: 1000, groups: true}, idMap(0, 1000, 1), false},
		{"by newgidmap", caller{gid: 1000, groups: true}, idMap(0, 1000, 1, 1, 100000, 65536), true},
		{"another's group, by newgidmap", caller{gid: 1000, groups: true}, idMap(0, 100000, 1), true},
		{"root where it is denied already", caller{caps: all, userns: true}, idMap(0, 0, 1), false},
	} {
		if got := tc.c.newMaps(&specs.Linux{GIDMappings: tc.gids}).setgroups; got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestCheckUser(t *testing.T) {
	m := &idMaps{uids: idMap(0, 1000, 10), gids: idMap(0, 1000, 5), setgroups: true}
	for _, tc := range []struct {
		u    specs.User
		want string
	}{
		{specs.User{UID: 9, GID: 4, AdditionalGids: []uint32{0, 4}}, ""},
		{specs.User{UID: 10}, "process.user.uid: 10"},
		{specs.User{GID: 5}, "process.user.gid: 5"},
		{specs.User{AdditionalGids: []uint32{4, 5}}, "process.user.additionalGids[1]: 5"},
	} {
		err := m.checkUser(&tc.u)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.u, err, tc.want)
		}
	}
	m.setgroups = false
	if err := m.checkUser(&specs.User{AdditionalGids: []uint32{0}}); err == nil {
		t.Error("groups that cannot be set are left out in silence")
	}
	if err := m.checkUser(&specs.User{}); err != nil {
		t.Error(err)
	}
}

func TestTreeMode(t *testing.T) {
	mount := specs.LinuxNamespace{Type: specs.MountNamespace}
	user := specs.LinuxNamespace{Type: specs.UserNamespace}
	root := caller{caps: ^uint64(0)}
	for _, tc := range []struct {
		name string
		ns   []specs.LinuxNamespace
		c    caller
		want treeMode
	}{
		{"root", []specs.LinuxNamespace{mount}, root, treesCloned},
		{"root with a user namespace", []specs.LinuxNamespace{mount, user}, root, treesSent},
		{"a user", []specs.LinuxNamespace{mount, user}, caller{uid: 1000}, treesInside},
		{"a user who will be refused", []specs.LinuxNamespace{mount}, caller{uid: 1000}, treesInside},
		{"a mount namespace by path", []specs.LinuxNamespace{{Type: specs.MountNamespace, Path: "/x"}, user}, root, treesCloned},
	} {
		if got := treeModeFor(&specs.Linux{Namespaces: tc.ns}, &tc.c); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestStaged(t *testing.T) {
	net := joined{flag: unix.CLONE_NEWNET}
	ns := func(types ...specs.LinuxNamespaceType) *specs.Linux {
		l := &specs.Linux{}
		for _, t := range types {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: t})
		}
		return l
	}
	root, below := &caller{caps: ^uint64(0)}, &caller{caps: ^uint64(0), userns: true}
	if got := staged(root, ns(specs.NetworkNamespace, specs.TimeNamespace), []joined{net}); len(got) != 0 {
		t.Errorf("without a user namespace: %v", got)
	}
	if got := staged(root, ns(specs.NetworkNamespace, specs.UserNamespace), []joined{net}); len(got) != 1 {
		t.Errorf("with one: %v", got)
	}
	if got := staged(root, ns(specs.UserNamespace), nil); len(got) != 0 {
		t.Errorf("nothing to join: %v", got)
	}
	pid := ns(specs.PIDNamespace)
	pid.Namespaces[0].Path = "/x"
	if got := staged(root, pid, []joined{net}); len(got) != 0 {
		t.Errorf("a pid namespace that root can leave again: %v", got)
	}
	if got := staged(below, pid, []joined{net}); len(got) != 1 {
		t.Errorf("a pid namespace that one cannot leave again: %v", got)
	}
}

func TestBindSteps(t *testing.T) {
	text := func(options ...string) (s string) {
		for _, st := range bindSteps(parseMountOptions(specs.Mount{Options: options})) {
			s += fmt.Sprintf("%x/%x/%x/%x ", st.flags, st.set, st.clear, st.propagation)
		}
		return strings.TrimSpace(s)
	}
	for options, want := range map[string]string{
		"rbind":                  "8000/0/0/80000",
		"rbind,ro,nosuid":        "8000/0/0/80000 0/3/0/0",
		"rbind,rw,rprivate":      "8000/0/0/80000 8000/0/0/40000 0/0/1/0",
		"rbind,rshared":          "8000/0/0/100000",
		"bind,rro":               "8000/0/0/80000 8000/1/0/0",
		"bind,private,ro,rnodev": "8000/0/0/80000 0/0/0/40000 0/1/0/0 8000/4/0/0",
	} {
		if got := text(strings.Split(options, ",")...); got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
	}
	if s := (attrStep{set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOATIME}); s.unlocked() != unix.MOUNT_ATTR_RDONLY {
		t.Errorf("what is left of a refused step: %x", s.unlocked())
	}
}

func TestDropUnmapped(t *testing.T) {
	warned := 0
	b := &box{maps: &idMaps{gids: idMap(0, 1000, 5)}, warn: func(string) { warned++ }}
	if got := b.dropUnmapped([]string{"newinstance", "gid=5", "gid=4", "mode=0620"}); !slices.Equal(got, []string{"newinstance", "gid=4", "mode=0620"}) || warned != 1 {
		t.Errorf("%q, %d warnings", got, warned)
	}
	b.maps = nil
	if got := b.dropUnmapped([]string{"gid=5"}); len(got) != 1 {
		t.Error("dropped without a user namespace")
	}
}

// TestManyTrees: more descriptors than one message holds come in several.
func TestManyTrees(t *testing.T) {
	p := newPlanner()
	l := &late{mode: treesSent, mounts: make([]int, 600)}
	p.receiveTrees(3, l)
	p.Exit(0)
	if n := strings.Count(string(p.AppendText(nil)), "recvmsg"); n != 3 || len(l.cells) != 601 {
		t.Errorf("%d messages for %d cells", n, len(l.cells))
	}
}

func TestExplain(t *testing.T) {
	perm := &launch.Error{Doing: "mount proc on /proc", Errno: unix.EPERM}
	if err := explainMount(perm); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "pid namespace of its own") {
		t.Errorf("%v", err)
	}
	other := &launch.Error{Doing: "mount proc on /proc", Errno: unix.EBUSY}
	if err := explainMount(other); err != error(other) {
		t.Errorf("%v", err)
	}
	user := &box{newFlags: unix.CLONE_NEWUSER}
	if err := explainStart(unix.ENOSPC, &caller{}, user); !strings.Contains(err.Error(), "/proc/sys/user") {
		t.Errorf("%v", err)
	}
	if err := explainStart(unix.EPERM, &caller{}, &box{}); !strings.Contains(err.Error(), "rootless container requires user namespaces") {
		t.Errorf("%v", err)
	}
}

// TestCopyUpBound: a directory of the image does not make a plan without end.
func TestCopyUpBound(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &copier{planner: newPlanner(), count: maxCopied - 20}
	if err := c.dir(fd, ".", true); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

func TestHooksInside(t *testing.T) {
	s := &specs.Spec{Linux: &specs.Linux{}, Hooks: &specs.Hooks{}}
	if hooksInside(s) {
		t.Error("no hooks")
	}
	s.Hooks.StartContainer = []specs.Hook{{}}
	if hooksInside(s) {
		t.Error("no user namespace")
	}
	s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.UserNamespace}}
	if !hooksInside(s) {
		t.Error("want true")
	}
}
