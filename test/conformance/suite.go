package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// result is the outcome of one program.
type result struct {
	name    string
	verdict string // pass, fail, skip
	ok      int    // points
	notOK   int
	skipped int
	took    time.Duration
	note    string // why it failed, in a few words
	output  string
	leaks   int  // containers left in the state directory
	second  bool // the first try failed
}

// suite is a run with one runtime.
type suite struct {
	o       options
	runtime string // absolute path
	bin     string // built programs
	tmp     string // scratch of this run
	cgroups bool   // the suite's cgroups were there before: leave them
}

func newSuite(o options, runtimePath string) (*suite, error) {
	bin, err := filepath.Abs(filepath.Join(o.cache, "bin"))
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "hull-conformance-")
	if err != nil {
		return nil, err
	}
	// Programs with a user namespace reach their bundle as an unprivileged host user.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, err
	}
	return &suite{o: o, runtime: runtimePath, bin: bin, tmp: tmp, cgroups: len(cgroupDirs()) > 0}, nil
}

func (s *suite) close() {
	if !s.cgroups {
		removeCgroups(cgroupDirs())
	}
	if err := os.RemoveAll(s.tmp); err != nil {
		fmt.Fprintf(os.Stderr, "conformance: cleaning up: %v\n", err)
	}
}

// runAll runs the programs in lanes. The cgroup programs share one absolute cgroup path, so
// they have a lane of their own.
func (s *suite) runAll(ctx context.Context, programs []string) []result {
	results := make([]result, len(programs))
	var wg sync.WaitGroup
	lane := func(next <-chan int) {
		defer wg.Done()
		for i := range next {
			if ctx.Err() != nil {
				continue
			}
			r := s.run(ctx, programs[i])
			if r.verdict == "fail" && ctx.Err() == nil {
				r = s.run(ctx, programs[i])
				r.second = true
			}
			results[i] = r
		}
	}
	shared, rest := make(chan int), make(chan int)
	wg.Add(1)
	go lane(shared)
	for range max(1, s.o.lanes-1) {
		wg.Add(1)
		go lane(rest)
	}
	var feed sync.WaitGroup
	for _, c := range []struct {
		ch     chan int
		shared bool
	}{{shared, true}, {rest, false}} {
		feed.Add(1)
		go func() {
			defer feed.Done()
			defer close(c.ch)
			for i, name := range programs {
				if sharesCgroup(name) == c.shared {
					c.ch <- i
				}
			}
		}()
	}
	feed.Wait()
	wg.Wait()
	return results
}

// sharesCgroup says whether a program uses the suite's one fixed cgroup path.
func sharesCgroup(name string) bool {
	return strings.HasPrefix(name, "linux_cgroups_") || name == "delete_resources" || name == "delete_only_create_resources"
}

// run runs one program in a directory and a mount namespace of its own: linux_ns_itype makes
// a container without a mount namespace, whose mounts would stay on the host, and would have
// the clean-up walk into a second /proc and /dev.
func (s *suite) run(ctx context.Context, name string) result {
	r := result{name: name, verdict: "fail"}
	dir, err := os.MkdirTemp(s.tmp, name+"-")
	if err != nil {
		r.note = err.Error()
		return r
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "root")
	wrapper := filepath.Join(dir, "runtime")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s' \"$@\"\n", s.runtime, root)
	tmp := filepath.Join(dir, "tmp")
	if err := errors.Join(
		os.Chmod(dir, 0o755),
		os.Mkdir(tmp, 0o755),
		os.Mkdir(root, 0o700),
		os.WriteFile(wrapper, []byte(script), 0o755),
		// The programs copy runtimetest without following links, so a copy it must be.
		copyFile(filepath.Join(s.bin, "runtimetest"), filepath.Join(dir, "runtimetest")),
		os.Symlink(filepath.Join(s.bin, "rootfs-amd64.tar.gz"), filepath.Join(dir, "rootfs-amd64.tar.gz")),
		os.Symlink(filepath.Join(s.bin, "rootfs-386.tar.gz"), filepath.Join(dir, "rootfs-386.tar.gz")),
	); err != nil {
		r.note = err.Error()
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RUNTIME="+wrapper, "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // a container may hold the output pipe
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	start := time.Now()
	runErr := cmd.Run()
	r.took = time.Since(start)
	r.output = out.String() + errOut.String()
	r.leaks = s.sweep(root)

	p := parseTAP(out.String())
	r.ok, r.notOK, r.skipped = p.ok, p.notOK, p.skipped
	switch {
	case ctx.Err() != nil:
		r.note = fmt.Sprintf("no end after %v", s.o.timeout)
	case runErr != nil:
		r.note = fmt.Sprintf("%v: %s", runErr, lastLine(errOut.String()))
	case p.notOK > 0:
		r.note = p.firstFailure
	case p.complaint != "" && p.ok+p.skipped == 0:
		r.note = p.complaint
	case p.ok+p.skipped == 0 && (p.planned == 0 || out.Len() == 0):
		// Programs that print only what goes wrong: their exit status is the verdict.
		r.verdict = "pass"
	case p.ok+p.skipped == 0:
		r.note = "no point in its output: " + lastLine(errOut.String())
	case p.planned != p.ok+p.skipped && p.planned >= 0:
		r.note = fmt.Sprintf("planned %d points, printed %d", p.planned, p.ok+p.skipped)
	case p.ok == 0:
		r.verdict = "skip"
		r.note = p.firstSkip
	default:
		r.verdict = "pass"
	}
	return r
}

// sweep deletes the containers that a program left in its state directory and counts them.
func (s *suite) sweep(root string) int {
	entries, _ := os.ReadDir(root)
	n := 0
	for _, e := range entries {
		if !e.IsDir() || strings.ContainsAny(e.Name()[:1], ".@") { // crun's and keel's own
			continue
		}
		n++
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		out, err := exec.CommandContext(ctx, s.runtime, "--root", root, "delete", "--force", e.Name()).CombinedOutput()
		cancel()
		if err != nil {
			fmt.Fprintf(os.Stderr, "conformance: deleting the left-over container %s: %v: %s\n", e.Name(), err, lastLine(string(out)))
		}
	}
	return n
}

// cgroupDirs are the cgroups that the suite's fixed path testdir/cgrouptest makes.
func cgroupDirs() []string {
	a, _ := filepath.Glob("/sys/fs/cgroup/testdir")
	b, _ := filepath.Glob("/sys/fs/cgroup/*/testdir")
	return append(a, b...)
}

// removeCgroups removes empty cgroups under dirs, deepest first.
func removeCgroups(dirs []string) {
	for _, top := range dirs {
		var all []string
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(all) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				fmt.Fprintf(os.Stderr, "conformance: %v\n", err)
			}
		}
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// lastLine is the last line of text that is not empty.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
