//go:build amd64

package keel

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// everyStep is true when a test shall act on each system call and not only on some.
// HULL_EVERY_STEP=1 does.
var everyStep = os.Getenv("HULL_EVERY_STEP") != ""

// scene is a bundle whose traces on the host can be told from all others.
type scene struct {
	*box
	mark   string // an argument of its program
	cgroup string
}

func newScene(t *testing.T, change func(*specs.Spec)) *scene {
	t.Helper()
	sc := &scene{mark: strconv.Itoa(10_000_000 + os.Getpid())}
	sc.box = newBox(t, func(s *specs.Spec) {
		sc.cgroup = s.Linux.CgroupsPath
		if change != nil {
			change(s)
		}
	}, "sleep", sc.mark)
	return sc
}

// rich asks for one of each thing that is made outside and taken back.
func rich(s *specs.Spec) {
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}, Poststart: []specs.Hook{{Path: "/bin/true"}}, Poststop: []specs.Hook{{Path: "/bin/true"}}}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp/bound/deep", Type: "bind", Source: "/usr", Options: []string{"rbind", "ro"}})
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"reboot"}, Action: specs.ActErrno}}}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr(int64(64))}
}

// left lists what there is of the scene on the host: processes of keel's and of the
// container's, mounts, cgroups, state.
func (sc *scene) left() (out []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		text, _ := os.ReadFile(p + "/cmdline") // empty for a zombie
		if args := strings.Split(string(text), "\x00"); slices.Contains(args, sc.state) || slices.Contains(args, sc.mark) {
			out = append(out, p+": "+strings.Join(args, " "))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, sc.bundle) {
			out = append(out, "mount "+strings.TrimSpace(line))
		}
	}
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + sc.cgroup + "*")
	out = append(out, dirs...)
	entries, _ := os.ReadDir(sc.state)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "@") { // caches are no container's
			out = append(out, filepath.Join(sc.state, e.Name()))
		}
	}
	return out
}

// clean wants that nothing is left; processes that have just been killed get a moment.
func (sc *scene) clean(what string) {
	sc.t.Helper()
	var left []string
	for range 100 {
		if left = sc.left(); len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	sc.t.Errorf("%s: left are\n\t%s", what, strings.Join(left, "\n\t"))
}

// steps calls act for every call of the side, or for a sample, until there is no such call
// any more.
func steps(t *testing.T, act func(at int) (more bool)) {
	stride := 1
	if !everyStep {
		stride = 7
	}
	n := 0
	start := time.Now()
	for at := 1; ; at += stride {
		if !act(at) {
			break
		}
		n++
	}
	t.Logf("%d steps, %v each", n, time.Since(start)/time.Duration(max(n, 1)))
	if n < 5 {
		t.Errorf("only %d steps were tried: the tracer does not see the program", n)
	}
}

// TestRootKilledAtAnyStep kills keel, or the process that it makes, before each system call of
// a verb. Whatever is left then, `delete --force` takes away, and the name can be used again.
func TestRootKilledAtAnyStep(t *testing.T) {
	for _, tc := range []struct {
		name    string
		side    side
		prepare func(sc *scene)
		args    func(sc *scene) []string
	}{
		{"create", parent, nil, func(sc *scene) []string { return []string{"create", "-b", sc.bundle, "c"} }},
		{"create child", child, nil, func(sc *scene) []string { return []string{"create", "-b", sc.bundle, "c"} }},
		{"run", parent, nil, func(sc *scene) []string { return []string{"run", "-d", "-b", sc.bundle, "c"} }},
		{"run child", child, nil, func(sc *scene) []string { return []string{"run", "-d", "-b", sc.bundle, "c"} }},
		{"start", parent, func(sc *scene) { sc.create("c") }, func(sc *scene) []string { return []string{"start", "c"} }},
		{"exec", parent, runningScene, func(sc *scene) []string { return []string{"exec", "-d", "c", "/bin/busybox", "sleep", sc.mark} }},
		{"exec child", child, runningScene, func(sc *scene) []string { return []string{"exec", "-d", "c", "/bin/busybox", "sleep", sc.mark} }},
		{"delete", parent, runningScene, func(sc *scene) []string { return []string{"delete", "--force", "c"} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := newScene(t, rich)
			steps(t, func(at int) bool {
				if tc.prepare != nil {
					tc.prepare(sc)
				}
				tr := &tracer{side: tc.side, at: at, kill: true}
				tr.run(t, append([]string{sc.keel, "--root", sc.state}, tc.args(sc)...))
				what := tc.name + " killed at " + tr.hit
				if tc.side == child && tc.name != "create child" && tr.hit != "" && tr.status.ExitStatus() == 0 {
					t.Errorf("%s: the verb succeeded", what)
				}
				if tc.name == "start" { // it has begun or it has not
					if s, _ := sc.status("c"); s == "created" {
						sc.run("start", "c") // or init is just on its way
					}
					sc.becomes("c", "running")
				}
				if _, errs, code := sc.run("delete", "--force", "c"); code != 0 {
					t.Errorf("%s: delete --force: status %d, %s", what, code, errs)
				}
				sc.clean(what)
				sc.create("c")
				sc.ok("delete", "--force", "c")
				return tr.hit != "" && (!t.Failed() || everyStep)
			})
		})
	}
}

func runningScene(sc *scene) {
	sc.t.Helper()
	sc.create("c")
	sc.ok("start", "c")
}
