package keel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pair is the same container under keel and under the host's runc.
type pair struct {
	*box        // keel's
	runc string // program
	dir  string // runc's bundle
	root string // runc's state
}

const (
	keelGroup = "/hull-pair/keel"
	runcGroup = "/hull-pair/runc"
)

// newPair makes two bundles with one root, and skips the test on a host without runc.
func newPair(t *testing.T, change func(*specs.Spec), args ...string) *pair {
	t.Helper()
	p := &pair{dir: t.TempDir()}
	var err error
	if p.runc, err = exec.LookPath("runc"); err != nil {
		t.Skip("needs runc, to compare with")
	}
	p.root = filepath.Join(t.TempDir(), "state")
	p.box = newBox(t, change, args...)
	for _, side := range []struct{ bundle, group string }{{p.bundle, keelGroup}, {p.dir, runcGroup}} {
		p.config(func(s *specs.Spec) {
			s.Root.Path = filepath.Join(p.bundle, "rootfs")
			s.Linux.CgroupsPath = side.group
		})
		text, err := os.ReadFile(filepath.Join(p.bundle, "config.json"))
		if err == nil {
			err = os.WriteFile(filepath.Join(side.bundle, "config.json.new"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []string{p.bundle, p.dir} {
		if err := os.Rename(filepath.Join(b, "config.json.new"), filepath.Join(b, "config.json")); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		exec.Command(p.runc, "--root", p.root, "delete", "-f", "c").Run()
		p.run("delete", "-f", "c")
		parents, _ := filepath.Glob("/sys/fs/cgroup/*/hull-pair")
		for _, d := range parents {
			os.Remove(d)
		}
	})
	return p
}

// result is what a call printed and how it ended.
type result struct {
	out, errs string
	code      int
}

// both calls both programs in their bundles. Output goes to files: containers keep it open.
func (p *pair) both(args ...string) (keel, runc result) {
	p.t.Helper()
	call := func(program, root, dir string) result {
		out, err1 := os.Create(filepath.Join(dir, "out"))
		errs, err2 := os.Create(filepath.Join(dir, "err"))
		if err1 != nil || err2 != nil {
			p.t.Fatal(err1, err2)
		}
		defer out.Close()
		defer errs.Close()
		cmd := exec.Command(program, append([]string{"--root", root}, args...)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, errs
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			p.t.Fatal(err)
		}
		a, _ := os.ReadFile(out.Name())
		b, _ := os.ReadFile(errs.Name())
		return result{string(a), string(b), cmd.ProcessState.ExitCode()}
	}
	return call(p.keel, p.state, p.bundle), call(p.runc, p.root, p.dir)
}

// same wants the same exit status of both, and the phrase in what both say on stderr; "" wants
// success without a word.
func (p *pair) same(phrase string, args ...string) (keel, runc result) {
	p.t.Helper()
	keel, runc = p.both(args...)
	said := func(r result) bool { return strings.Contains(strings.ReplaceAll(r.errs, `\"`, `"`), phrase) }
	switch {
	case keel.code != runc.code:
	case phrase == "" && keel.errs == "" && keel.code == 0:
		return keel, runc
	case phrase != "" && said(keel) && said(runc):
		return keel, runc
	}
	p.t.Errorf("%q, want %q\nkeel %d %q\nrunc %d %q", args, phrase, keel.code, keel.errs, runc.code, runc.errs)
	return keel, runc
}

// shape is a JSON document with its values left out: what a reader relies on.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k, e := range v {
			keys = append(keys, k+":"+shape(e))
		}
		slices.Sort(keys)
		return "{" + strings.Join(keys, " ") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shape(v[0]) + "]"
	}
	return fmt.Sprintf("%T", v)
}

func shapeOf(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return shape(v)
}

// order is the sequence of the names in a JSON text.
func order(text string) string {
	return strings.Join(regexp.MustCompile(`"[a-zA-Z_]+":`).FindAllString(text, -1), " ")
}

func (p *pair) sameShape(args ...string) {
	p.t.Helper()
	keel, runc := p.same("", args...)
	if k, r := shapeOf(p.t, keel.out), shapeOf(p.t, runc.out); k != r {
		p.t.Errorf("%q:\nkeel %s\nrunc %s", args, k, r)
	}
	if k, r := order(keel.out), order(runc.out); k != r {
		p.t.Errorf("%q: the order of the members:\nkeel %s\nrunc %s", args, k, r)
	}
}

// TestRootTextsAsRunc goes through a container's life with all that can be asked wrongly:
// engines look for the words, scripts for the exit status.
func TestRootTextsAsRunc(t *testing.T) {
	p := newPair(t, func(s *specs.Spec) { s.Annotations = map[string]string{"a.b": "c"} }, "sleep", "600")
	for _, verb := range []string{"state", "start", "kill", "delete", "pause", "resume", "ps", "update", "events"} {
		p.same("container does not exist", verb, "c")
	}
	p.same("exec failed: container does not exist", "exec", "c", "true")
	p.same("", "delete", "--force", "c")
	p.same("container id cannot be empty", "state", "")
	p.same("invalid container ID format", "run", "../x")
	p.same("exactly 1 argument(s)", "create")
	p.same("exactly 1 argument(s)", "run", "a", "b")
	p.same("minimum of 1 argument(s)", "kill")
	p.same("exactly 0 argument(s)", "list", "x")
	p.same("flag provided but not defined: -nope", "state", "--nope")
	p.same("flag provided but not defined: -nope", "--nope", "state")
	p.same("o help topic for", "nonsense")
	p.same("exists. Remove it first", "spec")
	p.same("no such file or directory", "run", "-b", "/nonexistent", "c")
	p.same("invalid log-format: x", "--log-format", "x", "list")
	p.same("invalid format option", "list", "-f", "xml")
	p.same("cannot use console socket if runc will not detach or allocate tty", "create", "--console-socket", "/nonexistent", "c")

	p.same("", "create", "c")
	p.same("container with given ID already exists", "create", "c")
	p.same("container with given ID already exists", "run", "c")
	p.sameShape("state", "c")
	p.sameShape("list", "-f", "json")
	p.sameShape("ps", "-f", "json", "c")
	p.sameShape("events", "--stats", "c")
	keel, runc := p.same("", "list")
	for _, r := range []*result{&keel, &runc} { // the columns are as wide as what is in them
		r.out = strings.Join(strings.Fields(strings.SplitN(r.out, "\n", 2)[0]), " ")
	}
	if keel.out != runc.out {
		t.Errorf("list begins with %q, runc's with %q", keel.out, runc.out)
	}
	p.same("container not paused", "resume", "c")
	p.same(`unknown signal "NOPE"`, "kill", "c", "NOPE")
	p.same("", "kill", "c", "0")
	p.same("args cannot be empty", "exec", "c")
	p.same("invalid value for memory: invalid size", "update", "--memory", "x", "c")
	p.same("Intel RDT/CAT: l3 cache schema is not enabled", "update", "--l3-cache-schema", "x", "c")
	p.same("Intel RDT/MBA: memory bandwidth schema is not enabled", "update", "--mem-bw-schema", "x", "c")
	p.same("no such file or directory", "update", "-r", "/nonexistent", "c")
	p.same("", "start", "c")
	p.same("cannot start an already running container", "start", "c")
	p.same("cannot delete container c that is not stopped: running", "delete", "c")

	p.same("no such file or directory", "exec", "c", "/nope")
	p.same(`exec: "nope": executable file not found in $PATH`, "exec", "c", "nope")
	p.same(`exec: "/proc": permission denied`, "exec", "c", "/proc")
	p.same("no such file or directory", "exec", "--cwd", "/nope", "c", "/bin/busybox", "true")
	p.same("absolute path", "exec", "--cwd", "nope", "c", "/bin/busybox", "true")
	p.same("uid", "exec", "-u", "root", "c", "/bin/busybox", "true")
	p.same("gid", "exec", "-u", "1:x", "c", "/bin/busybox", "true")
	p.same(`invalid value "x" for flag -g`, "exec", "-g", "x", "c", "/bin/busybox", "true")
	p.same(`invalid value "x" for flag -preserve-fds`, "exec", "--preserve-fds", "x", "c", "/bin/busybox", "true")
	p.same("CAP_NOPE", "exec", "-c", "CAP_NOPE", "c", "/bin/busybox", "true")
	p.same("cannot allocate tty if runc will detach without setting console socket", "exec", "-d", "-t", "c", "/bin/busybox", "true")
	p.same("cannot use console socket if runc will not detach or allocate tty", "exec", "--console-socket", "/nonexistent", "c", "/bin/busybox", "true")
	p.same("no such file or directory", "exec", "-p", "/nonexistent", "c")
	p.same("no such file or directory", "exec", "--pid-file", "/nonexistent/x", "c", "/bin/busybox", "true")
	p.same("no such file or directory", "exec", "--cgroup", "nope", "c", "/bin/busybox", "true")
	for _, script := range []string{"exit 7", "kill -9 $$", "kill -TERM $$", "echo out; exit 0"} {
		keel, runc := p.both("exec", "c", "/bin/busybox", "sh", "-c", script)
		if keel != runc {
			t.Errorf("exec %q: keel %+v, runc %+v", script, keel, runc)
		}
	}
	keel, runc = p.same("", "ps", "c")
	if k, r := strings.SplitN(keel.out, "\n", 2)[0], strings.SplitN(runc.out, "\n", 2)[0]; k != r || strings.Count(keel.out, "\n") != strings.Count(runc.out, "\n") {
		t.Errorf("ps:\n%s\n%s", keel.out, runc.out)
	}
	p.same("invalid format option", "ps", "-f", "xml", "c")
	p.same("duration interval must be greater than 0", "events", "--interval", "0s", "c")

	p.same("", "pause", "c")
	p.same("container not running", "pause", "c")
	p.same("cannot exec in a paused container (use --ignore-paused to override)", "exec", "c", "/bin/busybox", "true")
	p.same("cannot start a container in the paused state", "start", "c")
	p.sameShape("state", "c")
	p.same("", "resume", "c")
	p.same("", "kill", "c", "KILL")
	p.becomes("c", "stopped")
	for range 300 {
		if _, runc := p.both("state", "c"); strings.Contains(runc.out, "stopped") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.sameShape("state", "c")
	p.same("container not running", "kill", "c")
	p.same("", "kill", "--all", "c")
	p.same("cannot start a container that has stopped", "start", "c")
	p.same("container not running", "pause", "c")
	p.same("container not paused", "resume", "c")
	p.same("cannot exec in a stopped container", "exec", "c", "/bin/busybox", "true")
	p.same("container not running", "update", "--memory", "32m", "c")
	p.same("container with id c is not running", "events", "--stats", "c")
	p.same("", "ps", "c")
	p.same("", "delete", "c")
	p.same("container does not exist", "state", "c")
}

// TestRootFlagsAsRunc: every option of runc's is one of keel's, with its short form.
func TestRootFlagsAsRunc(t *testing.T) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("needs runc, to compare with")
	}
	flag := regexp.MustCompile(`(?m)^   (--[a-z0-9-]+)(?: value)?(?:, (-[a-z])(?: value)?)?  `)
	for _, verb := range append(verbs(), "") {
		args := []string{verb, "--help"}
		known := globalOptions()
		if c, ok := lookup(verb); ok {
			known = append(c.options, helpOption())
		} else {
			args = args[1:]
		}
		out, err := exec.Command(runc, args...).Output()
		if err != nil {
			t.Errorf("runc %q: %v", args, err)
			continue
		}
		found := flag.FindAllSubmatch(out, -1)
		if len(found) == 0 && bytes.Contains(out, []byte("OPTIONS:")) {
			t.Errorf("runc %q: no option found in %s", args, out)
		}
		for _, m := range found {
			name, short := strings.TrimPrefix(string(m[1]), "--"), strings.TrimPrefix(string(m[2]), "-")
			if k, ok := find(known, name); !ok || k.short != short {
				t.Errorf("keel %s has no --%s, -%s", verb, name, short)
			}
		}
	}
}

// limits are the files of a group that limits are written to.
func limits(group string) map[string]string {
	m := map[string]string{}
	for _, pattern := range []string{"memory.*limit_in_bytes", "memory.swappiness", "cpu.shares", "cpu.cfs_*", "cpu.rt_*", "cpu.idle", "cpuset.cpus", "cpuset.mems", "pids.max", "blkio.*weight*", "blkio.throttle.*device"} {
		files, _ := filepath.Glob("/sys/fs/cgroup/*" + group + "/" + pattern)
		for _, f := range files {
			text, _ := os.ReadFile(f)
			m[filepath.Base(f)] = string(text)
		}
	}
	return m
}

// TestRootUpdateAsRunc compares what is in the cgroup files after the same updates.
func TestRootUpdateAsRunc(t *testing.T) {
	p := newPair(t, nil, "sleep", "600")
	p.same("", "create", "c")
	compare := func(what string) {
		t.Helper()
		keel, runc := limits(keelGroup), limits(runcGroup)
		if len(keel) < 8 {
			t.Fatalf("%s: only %d files: %v", what, len(keel), keel)
		}
		for f := range keel {
			if keel[f] != runc[f] {
				t.Errorf("after %s: %s is %q under keel, %q under runc", what, f, keel[f], runc[f])
			}
		}
	}
	compare("create")
	for _, options := range []string{
		"--memory 64m", "--memory 96m --memory-swap 128m", "--memory-swap 160m", "--memory 200m --memory-swap 300m", "--memory-reservation 32m", "--memory -1",
		"--cpu-share 512", "--cpu-quota 20000", "--cpu-period 50000", "--cpu-quota 30000 --cpu-period 200000", "--cpu-quota -1", "--cpu-share 0",
		"--cpuset-cpus 0", "--cpuset-cpus 0-1", "--cpuset-mems 0", "--pids-limit 50", "--pids-limit 0", "--pids-limit -1", "--blkio-weight 300", "--memory 0", "--cpu-rt-period 500000",
		"",
	} {
		words := append([]string{"update"}, strings.Fields(options)...)
		p.both(append(words, "c")...)
		keel, runc := p.both(append(words, "c")...) // the second time nothing changes
		if keel.code != runc.code {
			t.Errorf("update %s: keel %d %q, runc %d %q", options, keel.code, keel.errs, runc.code, runc.errs)
		}
		compare(options)
	}
	file := filepath.Join(p.bundle, "r.json")
	for _, doc := range []string{
		`{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432,"checkBeforeUpdate":true},"cpu":{"shares":99,"quota":7000,"period":70000,"cpus":"0","mems":"0"},"pids":{"limit":20},"blockIO":{"weight":500}}`,
		`{"pids":{"limit":21}}`, `{}`,
	} {
		if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		p.same("", "update", "-r", file, "c")
		compare(doc)
	}
}
