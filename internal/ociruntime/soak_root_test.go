package ociruntime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rounds of the soak test: 300, or HULL_SOAK.
func soakRounds() int {
	if n, err := strconv.Atoi(os.Getenv("HULL_SOAK")); err == nil {
		return n
	}
	return 300
}

// TestRootSoak is a caller that lives long, as a shim does: it runs containers in itself, four
// at a time, each with an exec, and has as many descriptors, threads, goroutines and as much
// memory afterwards as when it was warm. Nor is anything left on the host.
func TestRootSoak(t *testing.T) {
	bundle, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	for _, d := range []string{"bin", "proc", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(bundle, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "rootfs/bin/busybox"), busybox, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	mark := strconv.Itoa(20_000_000 + os.Getpid())
	config, err := json.Marshal(specs.Spec{
		Version: "1.2.0", Root: &specs.Root{Path: "rootfs"}, Hostname: "soak",
		Process: &specs.Process{Args: []string{"/bin/busybox", "sleep", mark}, Cwd: "/", Env: []string{"PATH=/bin"}},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}, {Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/tmp", Type: "bind", Source: bundle, Options: []string{"rbind", "ro"}}},
		Hooks: &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}, Poststop: []specs.Hook{{Path: "/bin/true"}}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}},
			Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"reboot"}, Action: specs.ActErrno}}}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, configFile), config, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &Runtime{Root: state, Warn: func(m string) { t.Log(m) }}
	life := func(id string, run bool) error {
		p, err := r.Create(id, CreateOptions{Bundle: bundle, Detach: true, Run: run})
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		init := p.Pid()
		if _, err := p.Wait(); err != nil {
			return err
		}
		c, err := r.Load(id)
		if err != nil {
			return err
		}
		if !run {
			if err := c.Start(""); err != nil {
				return fmt.Errorf("start: %w", err)
			}
		}
		spec, err := c.Config()
		if err != nil {
			return err
		}
		pr := *spec.Process
		pr.Args = []string{"/bin/busybox", "true"}
		x, err := c.Exec(ExecOptions{Process: &pr})
		if err != nil {
			return fmt.Errorf("exec: %w", err)
		}
		if code, err := x.Wait(); err != nil || code != 0 {
			return fmt.Errorf("exec: status %d, %w", code, err)
		}
		if _, err := r.Create(id, CreateOptions{Bundle: bundle, Detach: true, Run: true}); err == nil {
			return fmt.Errorf("a second container %s", id)
		}
		if err := c.Delete(true); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		_, err = unix.Wait4(init, nil, 0, nil) // ours to reap
		return err
	}
	var wg sync.WaitGroup
	batch := func(name string, n int) {
		next := make(chan int)
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range next {
					if err := life(fmt.Sprintf("%s%d", name, i), i%2 == 0); err != nil {
						t.Errorf("container %s%d: %v", name, i, err)
					}
				}
			}()
		}
		for i := range n {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	batch("warm", 40)
	if t.Failed() {
		return
	}
	before := takeStock(bundle)
	start := time.Now()
	n := soakRounds()
	batch("soak", n)
	after := takeStock(bundle)
	t.Logf("%d containers in %v; before %+v, after %+v", n, time.Since(start).Round(time.Millisecond), before, after)
	if after.fds > before.fds {
		links, _ := filepath.Glob("/proc/self/fd/*")
		for _, l := range links {
			target, _ := os.Readlink(l)
			t.Logf("%s -> %s", l, target)
		}
	}
	if after.fds > before.fds || after.goroutines > before.goroutines || after.threads > before.threads+4 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if grown := after.heap - before.heap; grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes in %d containers", grown, n)
	}
	if after.mounts != before.mounts {
		t.Errorf("%d mounts, %d before", after.mounts, before.mounts)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/soak[0-9]*", "/sys/fs/cgroup/*/warm[0-9]*", state + "/[a-z]*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		if text, _ := os.ReadFile(p); strings.Contains(string(text), mark) {
			t.Errorf("left: process %s", p)
		}
	}
}

type stock struct {
	fds, threads, goroutines, mounts int
	heap                             int64
}

// takeStock counts what this process holds, after what has ended had time to go.
func takeStock(bundle string) (s stock) {
	time.Sleep(100 * time.Millisecond)
	debug.FreeOSMemory()
	count := func(dir string) int {
		names, _ := os.ReadDir(dir)
		return len(names)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return stock{fds: count("/proc/self/fd"), threads: count("/proc/self/task"), goroutines: runtime.NumGoroutine(), mounts: strings.Count(string(mounts), bundle), heap: int64(m.HeapAlloc)}
}
