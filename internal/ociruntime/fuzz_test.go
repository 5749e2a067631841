package ociruntime

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/ocispec"
	"golang.org/x/sys/unix"
)

// addConfigs seeds with the configurations that the golden tests know.
func addConfigs(f *testing.F, add func([]byte)) {
	for _, name := range []string{"../ocispec/testdata/docker.json", "../ocispec/testdata/runc-1.3.3-spec.json", "../ocispec/testdata/runc-1.3.3-rootless.json", "testdata/podman.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
}

// FuzzPlan: a config.json that is not refused gives a plan that ends in execve, by way of
// paths below the root's descriptor only.
func FuzzPlan(f *testing.F) {
	fake := openFakes(f)
	addConfigs(f, func(b []byte) { f.Add(b, false); f.Add(b, true) })
	f.Fuzz(func(t *testing.T, doc []byte, run bool) {
		c, err := ocispec.Decode(doc)
		if err != nil {
			return
		}
		if _, err := ocispec.Validate(c); err != nil || validateUnsupported(c) != nil || c.Process == nil {
			return
		}
		text, err := textOfCreate(c, fake, run)
		if err != nil {
			return
		}
		lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
		if last := lines[len(lines)-1]; !bytes.Contains(last, []byte(" execve(")) {
			t.Errorf("the plan ends with %s", last)
		}
		checkText(t, text)
	})
}

// FuzzProcess: the same for a process.json.
func FuzzProcess(f *testing.F) {
	addConfigs(f, func(b []byte) {
		c, err := ocispec.Decode(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`{"args":["`+c.Process.Args[0]+`"],"cwd":"/","env":["A=b"],"user":{"uid":1,"additionalGids":[3]},"terminal":true,"consoleSize":{"height":1,"width":2},"rlimits":[{"type":"RLIMIT_CORE","hard":1}]}`), uint64(unix.CLONE_NEWPID|unix.CLONE_NEWUSER), true)
	})
	f.Fuzz(func(t *testing.T, doc []byte, namespaces uint64, second bool) {
		pr, err := ocispec.DecodeProcess(doc)
		if err != nil {
			return
		}
		if _, err := ocispec.ValidateProcess(pr); err != nil {
			return
		}
		if text, err := textOfExec(&State{ID: "c", Namespaces: namespaces}, pr, second); err == nil {
			checkText(t, text)
		}
	})
}

// checkText holds what is true of every plan: nothing below the root is reached but by openat2
// that stays in it, and no text of the configuration's makes a line of its own.
func checkText(t *testing.T, text []byte) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# ") {
			continue
		}
		if len(line) < 5 || line[0] < '0' || line[0] > '9' {
			t.Fatalf("%q is neither a step nor what it does", line)
		}
		if !strings.Contains(line, "openat2($root") {
			continue
		}
		_, how, _ := strings.Cut(line[:strings.LastIndexByte(line, '}')], " 0x") // the last word of {flags mode resolve}
		how = how[strings.LastIndex(" 0x"+how, " 0x"):]
		if r, err := strconv.ParseUint(how, 16, 64); err != nil || r&inRoot != inRoot {
			t.Errorf("%s: resolved without RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS", line)
		}
	}
}

// FuzzState: whatever is in a state.json, Load refuses it or gives a container that can be
// asked for its status; nothing of the host is touched.
func FuzzState(f *testing.F) {
	r := &Runtime{Root: f.TempDir()}
	dir := filepath.Join(r.Root, "c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"ociVersion":"1.3.0","id":"c","bundle":"/b","rootfs":"/b/r","created":"2026-01-02T03:04:05Z","init_process_pid":4194304,"init_process_start":7,"cgroup_paths":{"":"/nonexistent/c","cpu":"/nonexistent/c"},"namespaces":131072}`))
	f.Add([]byte(`{"id":"c","init_process_pid":-1,"cgroup_paths":{"":"../.."}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if err := os.WriteFile(filepath.Join(dir, stateFile), doc, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := r.Load("c")
		if err != nil {
			return
		}
		if c.ID != "c" {
			t.Fatalf("loaded %q as c", c.ID)
		}
		c.Pid()
		if s := c.Status(); s == StatusCreated {
			t.Errorf("status %s without a start FIFO", s)
		}
		b := ocispec.AppendRecord(nil, &c.State)
		again, err := ocispec.DecodeRecord(b)
		if err != nil || !bytes.Equal(ocispec.AppendRecord(nil, again), b) {
			t.Errorf("the state does not survive being saved: %v\n%s", err, b)
		}
	})
}

// FuzzRecord: what a hostile init can write into the status FIFO, in two pieces.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("12345678"), 3)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if len(b) > 4096 {
			return
		}
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(p[0])
		cut = min(max(cut, 0), len(b))
		unix.Write(p[1], b[:cut])
		unix.Write(p[1], b[cut:])
		unix.Close(p[1])
		got, err := readRecord(p[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := len(b) >= 8; (got != nil) != want || got != nil && !bytes.Equal(got, b[:8]) {
			t.Errorf("of %d bytes: %q", len(b), got)
		}
	})
}
