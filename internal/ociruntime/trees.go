package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// treeMode says who clones the root and the sources of bind mounts, and when.
//
// With a user namespace the mounts are taken from the container's own mount namespace: when the
// kernel copies the host's mounts to a namespace of less privilege it locks their attributes,
// and the clones stay locked. A clone from the host's namespace is not: root in the container,
// with CAP_SYS_ADMIN there, could make a mount writable that the host has read-only. The runtime
// clones them with its own rights, so a source that root in the container cannot reach is found.
type treeMode uint8

const (
	treesCloned treeMode = iota // by the runtime, before there is a process
	treesSent                   // by the runtime, in the container's mount namespace, then sent
	treesInside                 // by the container's process: its creator is an ordinary user
)

// late are the trees that are not there yet when the plan is written, in the order in which
// they are sent: the root, then the bind mounts.
type late struct {
	mode   treeMode
	rootfs string // absolute
	bundle string
	mounts []int    // indices of the bind mounts
	cells  [][]byte // treesSent: where the descriptors will be
	given  bool     // the root is there already, and not among them
}

// first is the place of the first bind mount among the trees that are sent.
func (t *late) first() int {
	if t.given {
		return 0
	}
	return 1
}

// count is how many trees are sent.
func (t *late) count() int { return t.first() + len(t.mounts) }

// treeModeFor decides. A mount namespace that is joined has its own view of the host, in which
// the sources need not be.
func treeModeFor(l *specs.Linux, c *caller) treeMode {
	user := slices.ContainsFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	mount := slices.ContainsFunc(l.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.MountNamespace && n.Path == ""
	})
	switch {
	case !mount || !user && c.has(unix.CAP_SYS_ADMIN):
		return treesCloned
	case c.has(unix.CAP_SYS_ADMIN) && c.has(unix.CAP_SYS_CHROOT):
		return treesSent
	}
	return treesInside
}

// source is where a bind mount's source is on the host.
func (t *late) source(m specs.Mount) string {
	if filepath.IsAbs(m.Source) {
		return m.Source
	}
	return t.bundle + "/" + m.Source
}

// receive plans to take over the trees that the runtime sends.
func (p *planner) receiveTrees(sync int, t *late) {
	if t.mode != treesSent {
		return
	}
	p.Doing("receive", "the mounts")
	t.cells = nil
	for left := t.count(); left > 0; {
		n := min(left, maxPassed)
		mem := p.receiveFDs(sync, n)
		for i := range n {
			t.cells = append(t.cells, mem[4*i:4*i+4])
		}
		left -= n
	}
}

// takeRoot plans to have the root's tree in p.root.
func (p *planner) takeRoot(b *box) {
	mode := b.late.mode
	if b.rootGiven {
		mode = treesCloned
	}
	switch mode {
	case treesCloned:
		p.SetArg(p.root, p.FD(b.rootTree, "rootfs"))
	case treesSent:
		p.Load32(p.root, b.late.cells[0])
	case treesInside:
		p.Doing("clone the mounts of", "root.path "+b.late.rootfs)
		p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str(b.late.rootfs), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)).Out(p.root)
		name := b.spec.Linux.RootfsPropagation
		for _, s := range rootPropagation(name) {
			p.setattr(launch.Of(p.root), s.flags, 0, 0, s.propagation)
		}
	}
}

// takeBind plans to have the tree of bind mount i, with its attributes, in p.tree.
func (p *planner) takeBind(b *box, i int, m specs.Mount, o mountOptions) {
	if b.late.mode == treesSent {
		p.Load32(p.tree, b.late.cells[b.late.first()+slices.Index(b.late.mounts, i)])
		return
	}
	flags := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if o.Flags&unix.MS_REC != 0 {
		flags |= unix.AT_RECURSIVE
	}
	source := b.late.source(m)
	p.Doing("clone the mounts of", source)
	p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str(source), launch.Hex(flags)).Out(p.tree)
	for _, s := range bindSteps(o) {
		locked, done := p.NewLabel(), p.NewLabel()
		step := p.setattr(launch.Of(p.tree), s.flags, s.set, s.clear, s.propagation)
		if s.clear == 0 {
			continue
		}
		step.Ok(ePERM).Else(locked)
		p.Jump(done)
		p.Bind(locked)
		p.setattr(launch.Of(p.tree), s.flags, s.unlocked(), 0, s.propagation)
		p.Bind(done)
	}
}

// cloneTree makes a detached copy of a mount, with all below it when rec is set.
func cloneTree(dir int, name string, rec bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if rec {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, name, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: name, Err: err}
	}
	return fd, nil
}

// bindSource clones the source of a bind mount and gives the clone its attributes.
func bindSource(bundle int, m specs.Mount, o mountOptions, maps *mapSource) (int, error) {
	if m.Source == "" {
		return -1, errors.New("a bind mount needs a source")
	}
	fd, err := cloneTree(bundle, m.Source, o.Flags&unix.MS_REC != 0)
	if err != nil {
		return -1, err
	}
	if err := maps.idmap(fd, m, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := apply(fd, bindSteps(o)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set the attributes of %s: %w", m.Source, err)
	}
	return fd, nil
}

// attrStep is one mount_setattr(2).
type attrStep struct {
	flags                   int // AT_RECURSIVE
	set, clear, propagation uint64
}

// unlocked is what is left of the attributes to set when the kernel refuses to clear some: the
// host's are locked in a user namespace, and so are the access times (mount_namespaces(7)). The
// mount is then stricter than was asked for, never less.
func (s attrStep) unlocked() uint64 { return s.set &^ unix.MOUNT_ATTR__ATIME }

// rootPropagation are the steps for linux.rootfsPropagation on the root's tree. pivot_root
// refuses a shared new root.
func rootPropagation(name string) []attrStep {
	f, _, ok := propagation(name)
	switch {
	case ok && f == unix.MS_SHARED: // what is below stays in the host's peer groups
		return []attrStep{{propagation: unix.MS_PRIVATE}}
	case ok && f == unix.MS_SLAVE || name == "":
		return []attrStep{{flags: unix.AT_RECURSIVE, propagation: unix.MS_SLAVE}, {propagation: unix.MS_PRIVATE}}
	}
	return []attrStep{{flags: unix.AT_RECURSIVE, propagation: unix.MS_PRIVATE}}
}

// bindSteps are the steps that give the tree of a bind mount its attributes.
func bindSteps(o mountOptions) (list []attrStep) {
	if !slices.Contains(o.Propagation, unix.MS_SHARED) && !slices.Contains(o.Propagation, unix.MS_SHARED|unix.MS_REC) {
		list = append(list, attrStep{flags: unix.AT_RECURSIVE, propagation: unix.MS_SLAVE})
	}
	for _, f := range o.Propagation {
		s := attrStep{propagation: f &^ unix.MS_REC}
		if f&unix.MS_REC != 0 {
			s.flags = unix.AT_RECURSIVE
		}
		list = append(list, s)
	}
	if o.set|o.clear != 0 {
		list = append(list, attrStep{set: o.set, clear: o.clear})
	}
	if o.RecSet|o.RecClear != 0 {
		list = append(list, attrStep{flags: unix.AT_RECURSIVE, set: o.RecSet, clear: o.RecClear})
	}
	return list
}

// apply does the steps to a detached tree.
func apply(tree int, steps []attrStep) error {
	for _, s := range steps {
		flags := uint(s.flags | unix.AT_EMPTY_PATH)
		err := unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: s.set, Attr_clr: s.clear, Propagation: s.propagation})
		if err == unix.EPERM && s.clear != 0 {
			err = unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: s.unlocked(), Propagation: s.propagation})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendTrees clones the trees in the mount namespace of the new process and sends them to it.
func (b *box) sendTrees(sock, pidfd int, maps *mapSource) error {
	t := &b.late
	if t.mode != treesSent || t.count() == 0 {
		return nil
	}
	fds := make([]int, t.count())
	defer func() {
		for _, fd := range fds {
			if fd > 0 {
				unix.Close(fd)
			}
		}
	}()
	clone := func() (err error) {
		for k := range fds {
			name, rec := t.rootfs, true
			if k >= t.first() {
				m := b.spec.Mounts[t.mounts[k-t.first()]]
				name, rec = t.source(m), parseMountOptions(m).Flags&unix.MS_REC != 0
			}
			if fds[k] > 0 {
				continue
			}
			fd, err := cloneTree(unix.AT_FDCWD, name, rec)
			switch {
			case err == nil:
				fds[k] = fd
				// Here: our own mount namespace may not be of our user namespace.
				if err := b.prepareTree(k, fd, maps); err != nil {
					return err
				}
			case !errors.Is(err, unix.EINVAL):
				return fmt.Errorf("%s: %w", t.field(k), err)
			}
		}
		return nil
	}
	err := inNamespaces([]joined{{pidfd, unix.CLONE_NEWNS, "mount of the new container"}}, clone)
	if err == nil && slices.Contains(fds, 0) {
		// EINVAL: a file of another mount namespace, /proc/self/fd/N; or, not recursively, a
		// directory with locked mounts below it. We may have those from our own namespace.
		err = clone()
	}
	for k := range fds {
		if err == nil && fds[k] == 0 {
			err = fmt.Errorf("%s: %w", t.field(k), unix.EINVAL)
		}
	}
	if err != nil {
		return err
	}
	for part := range slices.Chunk(fds, maxPassed) {
		if err := unix.Sendmsg(sock, []byte{0}, unix.UnixRights(part...), nil, unix.MSG_DONTWAIT); err != nil {
			return fmt.Errorf("send the mounts to the container process: %w", err)
		}
	}
	return nil
}

// field names the k-th tree as config.json does.
func (t *late) field(k int) string {
	if k < t.first() {
		return "open root.path"
	}
	return fmt.Sprintf("mounts[%d].source", t.mounts[k-t.first()])
}

// prepareTree gives the k-th tree its attributes.
func (b *box) prepareTree(k, fd int, maps *mapSource) error {
	if k < b.late.first() {
		if err := apply(fd, rootPropagation(b.spec.Linux.RootfsPropagation)); err != nil {
			return fmt.Errorf("set the propagation of the root: %w", err)
		}
		return nil
	}
	m := b.spec.Mounts[b.late.mounts[k-b.late.first()]]
	o := parseMountOptions(m)
	if err := maps.idmap(fd, m, o); err != nil {
		return fmt.Errorf("%s: %w", b.late.field(k), err)
	}
	if err := apply(fd, bindSteps(o)); err != nil {
		return fmt.Errorf("set the attributes of %s: %w", m.Source, err)
	}
	return nil
}

// idmap id-maps a bind mount's tree if the mount asks for it.
func (s *mapSource) idmap(tree int, m specs.Mount, o mountOptions) error {
	if !wantsIDMap(m, o) {
		return nil
	}
	userns, err := s.idmapFD(m)
	if err != nil {
		return err
	}
	return applyIDMap(tree, userns, o.RIDMap)
}

func wantsIDMap(m specs.Mount, o mountOptions) bool {
	return o.IDMap || o.RIDMap || len(m.UIDMappings)+len(m.GIDMappings) > 0
}
