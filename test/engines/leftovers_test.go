package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engineDir makes the directory that holds all of an engine's files. The path is short, since
// engines put unix sockets below it (108 bytes at most).
func engineDir(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "he-"+name[:1]+"-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // remapped ids walk through
		t.Fatal(err)
	}
	return dir
}

// leftovers checks, after an engine has stopped, that no process, mount, cgroup or runtime
// state is left, then cleans up so that a failure does not disturb what comes next.
func leftovers(t *testing.T, e *engine) {
	t.Helper()
	for _, line := range containersLeft(e) {
		t.Log(line)
	}
	var procs []int
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if procs = processes(e.dir); len(procs) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, pid := range procs {
		cmdline, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		t.Errorf("process %d is left: %s", pid, strings.ReplaceAll(string(cmdline), "\x00", " "))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, dir := range cgroups(e.parent) {
		// podman keeps its monitors in a cgroup "conmon".
		if dir.depth > 0 && filepath.Base(dir.path) != "conmon" {
			t.Errorf("cgroup %s is left", dir.path)
		}
		if err := os.Remove(dir.path); err != nil {
			t.Errorf("cgroup %s cannot be removed: %v", dir.path, err)
		}
	}
	if entries, err := os.ReadDir(e.state); err == nil {
		for _, d := range entries {
			if d.Name() == "moby" { // containerd's namespace inside --root
				sub, _ := os.ReadDir(filepath.Join(e.state, "moby"))
				for _, s := range sub {
					if s.Name()[0] == '@' { // keel's cache of seccomp programs: no container's
						continue
					}
					t.Errorf("runtime state %s is left", filepath.Join(e.state, "moby", s.Name()))
				}
				continue
			}
			if !strings.ContainsAny(d.Name()[:1], ".@") {
				t.Errorf("runtime state %s is left", filepath.Join(e.state, d.Name()))
			}
		}
	}
	own := storageMounts(e)
	for _, m := range mounts(e.dir) {
		if !slices.Contains(own, m) {
			t.Errorf("mount %s is left", m)
		}
		if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", m, err)
		}
	}
	if t.Failed() && os.Getenv("HULL_KEEP") != "" {
		t.Logf("kept %s", e.dir)
		return
	}
	if err := os.RemoveAll(e.dir); err != nil {
		t.Errorf("removing the engine's files: %v", err)
	}
}

// containersLeft tells, for the log, what the containers were that containerd still knows when
// its daemon has ended: their commands, and the processes that still run.
func containersLeft(e *engine) []string {
	files, _ := filepath.Glob(filepath.Join(e.dir, "exec/containerd/daemon/io.containerd.runtime.v2.task/moby/*/config.json"))
	var out []string
	for _, f := range files {
		var spec struct {
			Process struct{ Args []string }
			Linux   struct{ CgroupsPath string }
		}
		data, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(data, &spec)
		}
		procs, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup/pids", spec.Linux.CgroupsPath, "cgroup.procs"))
		out = append(out, fmt.Sprintf("containerd still has %q, processes %v, %v", spec.Process.Args, strings.Fields(string(procs)), err))
	}
	return out
}

// storageMounts are mounts that an engine itself leaves, by design: podman keeps its storage
// directory and a tmpfs mounted between commands.
func storageMounts(e *engine) []string {
	if e.name != "podman" {
		return nil
	}
	return []string{filepath.Join(e.dir, "root", "overlay"), filepath.Join(e.dir, "root", "vfs")}
}

// processes finds processes whose command line names dir.
func processes(dir string) []int {
	var out []int
	entries, _ := os.ReadDir("/proc")
	for _, d := range entries {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + d.Name() + "/cmdline")
		if err == nil && strings.Contains(string(cmdline), dir) {
			out = append(out, pid)
		}
	}
	return out
}

// mounts lists mount points below dir, the deepest first.
func mounts(dir string) []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var out []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			out = append(out, f[4])
		}
	}
	slices.Reverse(out)
	return out
}

type cgroupDir struct {
	path  string
	depth int // below the parent
}

// cgroups lists the cgroups at and below parent in every hierarchy, the deepest first.
func cgroups(parent string) []cgroupDir {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*" + parent)
	if _, err := os.Stat("/sys/fs/cgroup" + parent); err == nil {
		tops = append(tops, "/sys/fs/cgroup"+parent)
	}
	var out []cgroupDir
	for _, top := range tops {
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				out = append(out, cgroupDir{path, strings.Count(strings.TrimPrefix(path, top), "/")})
			}
			return nil
		})
	}
	slices.Reverse(out)
	return out
}
