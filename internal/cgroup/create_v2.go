package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// prepareV2 makes a fresh or empty v2 directory ready: controllers handed down, type checked,
// not frozen, given to the owner.
func (g *Group) prepareV2(d *groupDir, existed bool) error {
	if !g.pure() && !existed {
		// Beside v1 nothing freezes or makes threaded groups of v2: not worth two reads.
		return g.delegate(d)
	}
	if g.pure() {
		// As runc: every controller of the host, so that a later update finds its files.
		has, err := g.layout().V2Controllers()
		if err != nil && !isAbsent(err) {
			return err
		}
		if len(has) > 0 {
			// What cannot be enabled is reported by the limit that misses it.
			_ = enableDown(d.mount, d.path, has)
		}
	}
	if err := g.checkType(d); err != nil {
		return err
	}
	events, err := readFile(d.path, "cgroup.events")
	if err != nil {
		return err
	}
	if frozen, _ := keyOf(events, "frozen"); frozen != 0 {
		return &UseError{Dir: d.path, Reason: "it is frozen"}
	}
	return g.delegate(d)
}

// checkType looks at cgroup.type (cgroups(7), "Thread mode"). A group below one that holds
// threads cannot have controllers that are not thread-aware.
func (g *Group) checkType(d *groupDir) error {
	text, err := readFile(d.path, "cgroup.type")
	if err != nil {
		if isAbsent(err) { // before Linux 4.14
			return nil
		}
		return err
	}
	kind := strings.TrimSpace(text)
	if kind == "domain" {
		return nil
	}
	if g.pure() && needsDomain(g.config.Resources) {
		return &UseError{Dir: d.path, Reason: fmt.Sprintf("it is %q and cannot have the memory, io and hugetlb limits asked for", kind)}
	}
	switch kind {
	case "domain invalid":
		// There are threads or processes above. The group can only be threaded as well.
		if err := writeFile(d.path, "cgroup.type", "threaded"); err != nil {
			return err
		}
		d.threaded = true
	case "threaded":
		d.threaded = true
	}
	return nil
}

// enableDown hands controllers down from the mount point to the directory path, so that its
// files of these controllers appear. It costs one read when that has been done before.
func enableDown(mount, path string, controllers []string) error {
	text, err := readFile(path, "cgroup.controllers")
	if err != nil {
		return err
	}
	have := strings.Fields(text)
	var want []string
	for _, c := range controllers {
		if !slices.Contains(have, c) {
			want = append(want, "+"+c)
		}
	}
	if len(want) == 0 {
		return nil
	}
	all := strings.Join(want, " ")
	rest := strings.TrimPrefix(path, mount)
	var first error
	for i := 0; i >= 0 && i < len(rest); {
		dir := mount + rest[:i]
		if err := writeFile(dir, "cgroup.subtree_control", all); err != nil {
			// All or nothing, so try one by one: a container may have been given a few only.
			for _, one := range want {
				if err := writeFile(dir, "cgroup.subtree_control", one); err != nil && first == nil {
					first = fmt.Errorf("enable cgroup controllers below %s: %w", dir, err)
				}
			}
		}
		next := strings.IndexByte(rest[i+1:], '/')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return first
}

// delegate gives the directory to another user (cgroups(7), "Cgroups delegation").
func (g *Group) delegate(d *groupDir) error {
	if g.config.OwnUID == nil && g.config.OwnGID == nil {
		return nil
	}
	uid, gid := -1, -1
	if g.config.OwnUID != nil {
		uid = *g.config.OwnUID
	}
	if g.config.OwnGID != nil {
		gid = *g.config.OwnGID
	}
	return Chown(d.path, uid, gid)
}

// Chown gives a v2 cgroup directory, and the files in it that a delegatee needs, to uid and
// gid; -1 leaves one as it is. The kernel lists the files in /sys/kernel/cgroup/delegate.
func Chown(dir string, uid, gid int) error {
	if err := unix.Lchown(dir, uid, gid); err != nil {
		return &os.PathError{Op: "chown", Path: dir, Err: err}
	}
	files := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if text, err := readFile("/sys/kernel/cgroup", "delegate"); err == nil {
		files = strings.Fields(text)
	}
	for _, f := range files {
		if strings.Contains(f, "/") {
			continue
		}
		if err := unix.Lchown(dir+"/"+f, uid, gid); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "chown", Path: dir + "/" + f, Err: err}
		}
	}
	return nil
}
