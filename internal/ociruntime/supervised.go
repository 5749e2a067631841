package ociruntime

import (
	"errors"
	"fmt"
	"os"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Handles are what a caller that stays with its container, as a shim does, gives in place of
// paths and of its own standard descriptors. The descriptors stay the caller's; 0 is none.
type Handles struct {
	Config []byte // config.json; empty: read from the bundle
	// Decoded is Config for a caller who had to look into it; nil: it is decoded. It belongs to
	// the container from now on.
	Decoded *ocispec.Config
	// Root is a detached mount, the container's root; none: root.path. There is no place on the host
	// for it to be attached at (docs/dev/decisions/0007), so it goes on top of / of the new mount
	// namespace, and a createContainer hook sees it there. Its attributes are not locked: in a user
	// namespace, root with CAP_SYS_ADMIN can change them, so a mount whose writing the host must
	// prevent is no root to give.
	Root int
	// UserNS is the user namespace to join, in which the others are made; none: as config.json says.
	// The mappings of config.json are taken to be the namespace's.
	UserNS int
	Stdio  Stdio
}

// Stdio are what a process gets as its descriptors 0, 1 and 2 when it has no terminal. In the place
// of one that is none it gets this program's own.
type Stdio [3]int

// standard are the numbers that Stdio has in this program.
type standard [3]int

var ownStandard = standard{0, 1, 2}

func (s Stdio) numbers() (standard, error) {
	out := ownStandard
	for i, fd := range s {
		if fd == 0 {
			continue
		}
		if out[i] = fd; fd < 3 {
			return out, fmt.Errorf("standard descriptor %d is to be %d, which is itself one of this program's", i, fd)
		}
	}
	return out, nil
}

// takeStandard plans to have the standard descriptors where the program looks for them.
func (p *planner) takeStandard(s standard) {
	for i, fd := range s {
		if fd > 2 {
			p.Doing("take", "standard descriptor "+itoa(uint64(i)))
			p.Call("dup3", unix.SYS_DUP3, p.FD(fd, "stdio"), launch.Int(i), launch.Hex(0))
		}
	}
}

// handles are those of the options, never nil.
func (o *CreateOptions) handles() *Handles {
	if o.Handles != nil {
		return o.Handles
	}
	return &Handles{}
}

// joinUserNS makes the user namespace of a config.json one that is joined.
func (h *Handles) joinUserNS(s *specs.Spec) error {
	if h.UserNS == 0 {
		return nil
	}
	for i := range s.Linux.Namespaces {
		if n := &s.Linux.Namespaces[i]; n.Type == specs.UserNamespace && n.Path == "" {
			n.Path = "/proc/self/fd/" + itoa(uint64(h.UserNS))
			return nil
		}
	}
	return errors.New("a user namespace is given, and config.json has none without a path")
}

// giveRoot takes the root that the caller has given.
func (n *creation) giveRoot() error {
	if !isDir(n.b.rootTree) {
		return errors.New("the given root is not a directory")
	}
	if err := apply(n.b.rootTree, rootPropagation(n.s.Linux.RootfsPropagation)); err != nil {
		return fmt.Errorf("set the propagation of the given root (is it a mount, and attached nowhere?): %w", err)
	}
	return nil
}

// Release gives the process up to a caller who waits for it himself: its pidfd, and the master
// of its terminal, or -1. Both are the caller's to close, and closed on exec.
func (p *Process) Release() (pidfd, terminal int, err error) {
	pidfd, err = unix.FcntlInt(uintptr(p.child.PidFD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, -1, os.NewSyscallError("duplicate the pidfd", err)
	}
	terminal, p.master = p.master, -1
	p.child.Discard()
	p.child.Close()
	return pidfd, terminal, nil
}

// Container is the one that the process is of.
func (p *Process) Container() *Container { return p.c }

// checkedConfig decodes and checks a config.json for a new container; where names it in errors.
func (r *Runtime) checkedConfig(b []byte, where string) (*ocispec.Config, error) {
	c, err := ocispec.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return c, r.checkConfig(c, where)
}

// checkConfig checks one that is decoded.
func (r *Runtime) checkConfig(c *ocispec.Config, where string) error {
	warnings, err := ocispec.Validate(c)
	if err == nil {
		err = validateUnsupported(c)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for _, w := range warnings {
		r.warn(where + ": " + w)
	}
	return nil
}

// StartTime is when a process was started, in clock ticks since boot: with the pid it names a
// process for good.
func StartTime(pid int) (uint64, error) { return startTime(pid) }
