package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRootAddProcess(t *testing.T) {
	g := newGroup(t, nil)
	mem := needV1(t, g, "memory")
	if err := os.Mkdir(mem+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if err := g.AddProcess(cmd.Process.Pid, map[string]string{"memory": "sub"}, 0); err != nil {
		t.Fatal(err)
	}
	seen := parseProcCgroup(content(t, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/cgroup"))
	base := "/" + filepath.Base(mem)
	if seen["memory"] != base+"/sub" || seen["devices"] != base || seen[""] != base {
		t.Errorf("the process is in %v", seen)
	}
	if err := g.AddProcess(cmd.Process.Pid, map[string]string{"": "absent"}, 0); !errors.Is(err, unix.ENOENT) {
		t.Errorf("absent sub-cgroup: %v", err)
	}
}

// TestRootExecBesideControllers: the container (as systemd or a nested engine does) has moved
// its init to a sub-group and given controllers down, so that the group itself takes no
// process (EBUSY).
func TestRootExecBesideControllers(t *testing.T) {
	g := newGroup(t, nil)
	if has, _ := g.host.V2Controllers(); g.two() == nil || !slices.Contains(has, "hugetlb") {
		t.Skip("needs the hugetlb controller on v2")
	}
	restoreSubtree(t, g)
	v2 := onV2(t, g)
	dir := v2.dirs[0].path
	if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := enableDown(v2.dirs[0].mount, dir+"/sub", []string{"hugetlb"}); err != nil {
		t.Fatal(err)
	}
	init := startIn(t, []string{dir + "/sub/cgroup.procs"}, nil, "/bin/sleep", "60")
	cmd := exec.Command("/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if err := v2.AddProcess(cmd.Process.Pid, nil, 0); !errors.Is(err, unix.EBUSY) {
		t.Errorf("without knowing init: %v", err)
	}
	if err := v2.AddProcess(cmd.Process.Pid, nil, init.Process.Pid); err != nil {
		t.Error(err)
	}
	files, d, err := v2.ExecFiles(nil, init.Process.Pid)
	if err != nil || d != dir+"/sub" || !slices.Equal(files, []string{dir + "/sub/cgroup.procs"}) {
		t.Errorf("ExecFiles: %v %q %v", files, d, err)
	}
	// An init that is elsewhere does not pull exec out of the container.
	if _, d, _ := v2.ExecFiles(nil, os.Getpid()); d != dir {
		t.Errorf("a foreign init leads to %q", d)
	}
	for _, c := range []*os.Process{cmd.Process, init.Process} {
		c.Kill()
	}
	cmd.Wait()
	init.exit(t)
	if err := v2.Delete(); err != nil {
		t.Error(err)
	}
}
