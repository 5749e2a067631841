package ociruntime

import (
	"testing"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A shim's container: its root is a detached mount, its standard descriptors are pipes, and the
// user namespace is there already.
func TestGoldenGiven(t *testing.T) {
	s := &specs.Spec{Root: &specs.Root{Path: "rootfs"}, Process: &specs.Process{Cwd: "/"},
		Mounts: []specs.Mount{{Destination: "/data", Type: "bind", Source: "/volume", Options: []string{"bind"}}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UserNamespace, Path: "/proc/self/fd/905"}},
			UIDMappings: []specs.LinuxIDMapping{{HostID: 1000, Size: 1000}}, GIDMappings: []specs.LinuxIDMapping{{HostID: 1000, Size: 1000}}}}
	b := &box{spec: s, sync: 901, console: 901, rootTree: 902, rootGiven: true, rootfs: "/bundle/rootfs", bundle: "/bundle", std: standard{0, 903, 904}, warn: func(string) {},
		newFlags: unix.CLONE_NEWNS, stage: []joined{{905, unix.CLONE_NEWUSER, "/proc/self/fd/905"}}, userns: true, nulls: []int{0},
		maps: &idMaps{uids: s.Linux.UIDMappings, gids: s.Linux.GIDMappings, setgroups: true}}
	b.late = late{mode: treesSent, given: true, mounts: []int{0}}
	p := newPlanner()
	if err := p.planCreate(b); err != nil {
		t.Fatal(err)
	}
	golden(t, "given", p.AppendText(nil))
}

func TestStdioNumbers(t *testing.T) {
	if got, err := (Stdio{0, 7, 8}).numbers(); err != nil || got != (standard{0, 7, 8}) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := (Stdio{1, 0, 0}).numbers(); err == nil {
		t.Error("one of this program's own descriptors was taken")
	}
}

// The user namespace of config.json, and no other, becomes the given one.
func TestJoinGivenUserNamespace(t *testing.T) {
	h := &Handles{UserNS: 77}
	s := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.UserNamespace}}}}
	if err := h.joinUserNS(s); err != nil || s.Linux.Namespaces[1].Path != "/proc/self/fd/77" || s.Linux.Namespaces[0].Path != "" {
		t.Errorf("%+v %v", s.Linux.Namespaces, err)
	}
	if err := h.joinUserNS(&specs.Spec{Linux: &specs.Linux{}}); err == nil {
		t.Error("config.json has no user namespace")
	}
}

// The memory of a plan is given back without harm to what is beside it.
func TestDiscard(t *testing.T) {
	p := launch.New()
	p.Doing("end", "")
	for range 200 {
		p.Str("some text that fills the plan's memory, page after page")
	}
	p.Exit(0)
	c, err := p.Start(launch.Clone{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err == nil {
		t.Error("a plan that has ended goes on")
	}
	c.Discard()
	c.Discard()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(c.Pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 0 {
		t.Errorf("%v %v", ws, err)
	}
	c.Close()
}
