package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the walk through sub-groups, which a container with a cgroup of its own can
// nest (the kernel itself allows more on v1).
const maxDepth = 512

// Pids returns the processes of the group and of every group below it, as numbers of the
// caller's pid namespace, without order. A group that is gone has none.
func (g *Group) Pids() ([]int, error) {
	d := g.procsDir()
	if d == nil {
		return nil, nil
	}
	return allPids(d.path)
}

// procsDir is the directory whose processes are the container's: devices first, as runc, since
// that is the hierarchy that nothing but a runtime touches.
func (g *Group) procsDir() *groupDir {
	for _, c := range []string{"devices", "pids", "memory", "freezer"} {
		if d := g.one(c); d != nil {
			return d
		}
	}
	if len(g.dirs) == 0 {
		return nil
	}
	return &g.dirs[len(g.dirs)-1]
}

func allPids(dir string) ([]int, error) {
	var pids []int
	err := walk(dir, 0, func(path string) error {
		list, err := pidsOf(path)
		pids = append(pids, list...)
		return err
	})
	return pids, err
}

// pidsOf reads the processes of one directory. The files of a threaded v2 group cannot be read
// (EOPNOTSUPP): its processes are seen in the group above that is their domain.
func pidsOf(dir string) ([]int, error) {
	text, err := readLong(dir, "cgroup.procs")
	if err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) {
			return threadGroups(dir)
		}
		if isAbsent(err) {
			return nil, nil
		}
		return nil, err
	}
	return parsePids(text)
}

func parsePids(text string) ([]int, error) {
	pids := make([]int, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		pid, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("parse cgroup.procs: %q", line)
		}
		if pid > 0 { // 0: a process that our pid namespace does not see
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// threadGroups returns the processes that the threads of a threaded group belong to.
func threadGroups(dir string) ([]int, error) {
	text, err := readLong(dir, "cgroup.threads")
	if err != nil {
		return nil, err
	}
	tids, err := parsePids(text)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, tid := range tids {
		status, err := readLong("/proc/"+strconv.Itoa(tid), "status")
		if err != nil {
			continue // ended since
		}
		_, rest, _ := strings.Cut(status, "\nTgid:")
		f := strings.Fields(rest)
		if len(f) == 0 {
			continue
		}
		if pid, err := strconv.Atoi(f[0]); err == nil && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// walk calls f for dir and each directory below, parents first. What disappears meanwhile is
// skipped.
func walk(dir string, depth int, f func(path string) error) error {
	if err := f(dir); err != nil {
		return err
	}
	subs, err := subdirs(dir)
	if err != nil || len(subs) == 0 {
		return err
	}
	if depth >= maxDepth {
		return fmt.Errorf("%s: cgroups are nested deeper than %d", dir, maxDepth)
	}
	for _, s := range subs {
		if err := walk(dir+"/"+s, depth+1, f); err != nil {
			return err
		}
	}
	return nil
}

// subdirs returns the groups directly below dir. A group with none has two links (kernfs keeps
// the count), so that the common case is one stat(2).
func subdirs(dir string) ([]string, error) {
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Nlink == 2 {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || isAbsent(err) {
			return nil, nil
		}
		return nil, err
	}
	var subs []string
	for _, e := range entries {
		if e.IsDir() {
			subs = append(subs, e.Name())
		}
	}
	return subs, nil
}

// execDirs returns the directory of each hierarchy that a process of exec goes to. sub is
// "exec --cgroup": controller → path below the group's directory, "" for all hierarchies.
func (g *Group) execDirs(sub map[string]string, initPid int) ([]groupDir, error) {
	dirs := slices.Clone(g.dirs)
	explicit2 := false
	for _, c := range slices.Sorted(maps.Keys(sub)) {
		path, err := cleanPath(strings.TrimLeft(sub[c], "/"))
		if err != nil {
			return nil, fmt.Errorf("sub-cgroup path %q %w", sub[c], err)
		}
		if c == "" && len(sub) > 1 && !g.pure() {
			return nil, errors.New("a sub-cgroup for all controllers cannot be combined with others")
		}
		known := false
		for i := range dirs {
			d := &dirs[i]
			if c == "" || slices.Contains(d.controllers, c) {
				known = true
				if path != "" {
					d.path = g.dirs[i].path + "/" + path
					explicit2 = explicit2 || d.v2
				}
			}
		}
		if !known {
			return nil, fmt.Errorf("unknown controller %q in the sub-cgroup path", c)
		}
		if c != "" && g.pure() {
			return nil, errors.New("a sub-cgroup for one controller needs cgroup v1")
		}
	}
	if !explicit2 && initPid > 0 {
		for i := range dirs {
			if dirs[i].v2 {
				dirs[i].path = g.initDir(&dirs[i], initPid)
			}
		}
	}
	return dirs, nil
}

// initDir returns the v2 directory that exec has to use: that of the container's init when the
// container has given controllers to sub-groups, because the group itself then takes no
// process (EBUSY, "no internal processes" of cgroups(7)).
func (g *Group) initDir(d *groupDir, initPid int) string {
	enabled, err := readFile(d.path, "cgroup.subtree_control")
	if err != nil || strings.TrimSpace(enabled) == "" {
		return d.path
	}
	text, err := readLong("/proc/"+strconv.Itoa(initPid), "cgroup")
	if err != nil {
		return d.path
	}
	mount := g.mountOf(d)
	own := mount + parseProcCgroup(text)[""]
	if mount == "" || !strings.HasPrefix(own, d.path+"/") || strings.Contains(own, "/../") {
		return d.path // not below the container's own group: not our business
	}
	return own
}

// AddProcess moves a process into the group: that of exec, or a restored one. sub is
// "exec --cgroup" (see [Group.ExecFiles]); initPid is the container's init, 0 for none.
func (g *Group) AddProcess(pid int, sub map[string]string, initPid int) error {
	dirs, err := g.execDirs(sub, initPid)
	if err != nil {
		return err
	}
	for i := range dirs {
		d := &dirs[i]
		err := joinProc(d.path, pid)
		if err != nil && !(g.rootless && isNoRights(err)) {
			return fmt.Errorf("add process %d to cgroup %s: %w", pid, d.path, err)
		}
	}
	return nil
}

// joinProc writes a pid. EINVAL can mean that the process is only just being made (TASK_NEW).
func joinProc(dir string, pid int) error {
	var err error
	for i := range 5 {
		if err = writeFile(dir, "cgroup.procs", strconv.Itoa(pid)); !errors.Is(err, unix.EINVAL) {
			return err
		}
		time.Sleep(time.Millisecond << i)
	}
	return err
}

// ExecFiles returns the files that a single-threaded exec child writes "0" into, and the v2
// directory for CLONE_INTO_CGROUP when there is one. A sub-cgroup that does not exist is an
// error.
func (g *Group) ExecFiles(sub map[string]string, initPid int) (files []string, dir string, err error) {
	dirs, err := g.execDirs(sub, initPid)
	if err != nil {
		return nil, "", err
	}
	for i := range dirs {
		d := &dirs[i]
		if d.path != g.dirs[i].path {
			var st unix.Stat_t
			if err := unix.Stat(d.path, &st); err != nil {
				return nil, "", &os.PathError{Op: "use sub-cgroup", Path: d.path, Err: err}
			}
		}
		files = append(files, d.path+"/"+d.joinFile())
		if d.v2 {
			dir = d.path
		}
	}
	return files, dir, nil
}
