package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// runHooks runs hooks in order, the state on their standard input. A hook starts with just
// the environment that it names and in "/" (SECURITY.md R23), with no descriptor of ours.
//
//	prestart, createRuntime, poststart, poststop   the host's program, in the host's namespaces
//	createContainer                                the host's program, in the container's namespaces, before pivot_root
//	startContainer                                 the container's program, with the container's user, capabilities and filter
//
// The last is a program out of the image: it gets what the image's main program gets and no
// more (SECURITY.md R4).
func (c *Container) runHooks(kind string, hooks []specs.Hook, status string) error {
	for i, h := range hooks {
		c.r.debug("container %s: run hooks.%s[%d] %s", c.ID, kind, i, h.Path)
		pid := c.InitPid
		if kind == "createContainer" || kind == "startContainer" {
			pid = c.pidInside() // runtime.md, State: the pid as the hook sees it
		}
		if err := c.runHook(kind, h, hookState(&c.State, status, pid)); err != nil {
			return fmt.Errorf("run hooks.%s[%d] %s: %w", kind, i, h.Path, err)
		}
	}
	return nil
}

// pidInside is init's process id in the container's pid namespace: the last of NSpid in
// /proc/PID/status (proc_pid_status(5)).
func (c *Container) pidInside() int {
	b, err := ocispec.ReadFile(unix.AT_FDCWD, "/proc/"+itoa(uint64(c.InitPid))+"/status")
	if err != nil {
		return c.InitPid // it has ended: the hook will not find it either way
	}
	for line := range strings.Lines(string(b)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(list)
			if pid, err := strconv.Atoi(f[len(f)-1]); err == nil {
				return pid
			}
		}
	}
	return c.InitPid
}

func (c *Container) runHook(kind string, h specs.Hook, state []byte) error {
	var undo undoList
	defer undo.closeFDs()
	stdin, feed, err := pipe()
	if err != nil {
		return err
	}
	undo.fd(stdin)
	x := exchange{feed: feed, input: state}
	defer x.endInput()
	output, stdout, err := pipe()
	if err != nil {
		return err
	}
	undo.fd(output)
	undo.fd(stdout)
	child, err := c.startHook(kind, h, stdin, stdout, &undo)
	if err != nil {
		return err
	}
	if _, err := child.Next(); err != io.EOF {
		child.Kill()
		return err
	}
	defer child.Close()
	x.pidfd, x.output = child.PidFD, output
	if h.Timeout != nil {
		x.deadline = time.Now().Add(time.Duration(*h.Timeout) * time.Second)
	}
	err = x.serve()
	var ws unix.WaitStatus
	for {
		if _, werr := unix.Wait4(child.Pid, &ws, 0, nil); werr != unix.EINTR {
			break
		}
	}
	text := strings.TrimSpace(string(x.kept))
	if text != "" {
		text = ": " + text
	}
	switch {
	case err != nil:
		return err
	case x.late && ws.Signaled():
		return fmt.Errorf("killed after its timeout of %d s%s", *h.Timeout, text)
	case ws.Signaled():
		return fmt.Errorf("killed by signal %d%s", ws.Signal(), text)
	case ws.ExitStatus() != 0:
		return fmt.Errorf("exit status %d%s", ws.ExitStatus(), text)
	}
	return nil
}

// startHook starts the program of a hook, with in and out as its standard ones.
func (c *Container) startHook(kind string, h specs.Hook, in, out int, undo *undoList) (*launch.Child, error) {
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	p := newPlanner()
	if kind == "startContainer" {
		pr := *c.spec.Process // Start has read it
		pr.Args, pr.Env, pr.Cwd, pr.Terminal = args, h.Env, "/", false
		way, err := c.entry(nil, &pr, undo)
		if err != nil {
			return nil, err
		}
		if way.filter != nil && way.filter.Notify {
			// Its agent is told of the main program, later. Without the filter the image's program
			// would have more than that.
			return nil, errors.New("a startContainer hook cannot run under a seccomp profile with SCMP_ACT_NOTIFY")
		}
		sync, err := socketPair(undo)
		if err != nil {
			return nil, err
		}
		e, err := way.ending(&pr, sync)
		if err != nil {
			return nil, err
		}
		e.program = h.Path
		way.begin(p, sync, &e)
		p.hookStdio(in, out)
		p.finish(e)
		return way.start(p, sync, &pr)
	}
	var clone launch.Clone
	pidfd, root := -1, -1
	if kind == "createContainer" {
		fd, err := unix.PidfdOpen(c.InitPid, 0)
		if err != nil {
			return nil, fmt.Errorf("open the container process: %w", err)
		}
		undo.fd(fd)
		pidfd = fd
		// Its path is one of the host's (config.md, POSIX-platform Hooks), whose root is still
		// init's own.
		if root, err = unix.Open("/proc/"+itoa(uint64(c.InitPid))+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("open the root of the container's init: %w", err)
		}
		undo.fd(root)
		if me := thisCaller(); c.Namespaces&unix.CLONE_NEWPID != 0 && me.returns() {
			clone.PidNS = pidfd
		}
	}
	p.planHook(&c.State, pidfd, root, in, out)
	p.rlimits(nil, c.r.OpenFiles)
	p.Doing("execute", h.Path)
	p.Call("execve", unix.SYS_EXECVE, p.Str(h.Path), p.Strs(args), p.Strs(h.Env))
	return p.Start(clone)
}

// planHook plans what comes before a hook of the host's: the namespaces of init and a root, when
// there are descriptors of them (else -1), standard input and output, and no other descriptor.
func (p *planner) planHook(s *State, pidfd, root, in, out int) {
	if pidfd >= 0 {
		p.Doing("join the namespaces of", "container "+s.ID)
		p.Call("setns", unix.SYS_SETNS, p.FD(pidfd, "init"), launch.Hex(s.Namespaces&^unix.CLONE_NEWPID))
		if s.Namespaces&unix.CLONE_NEWUSER != 0 {
			p.becomeRoot() // or execve would take the rights away from an id that is nobody there
		}
	}
	if root >= 0 {
		p.Call("fchdir", unix.SYS_FCHDIR, p.FD(root, "root"))
		p.Call("chroot", unix.SYS_CHROOT, p.Str("."))
	}
	p.hookStdio(in, out)
	p.Call("chdir", unix.SYS_CHDIR, p.Str("/"))
	p.Call("close_range", unix.SYS_CLOSE_RANGE, launch.Int(3), launch.Hex(0xffffffff), launch.Int(unix.CLOSE_RANGE_CLOEXEC))
}

func (p *planner) hookStdio(in, out int) {
	p.Doing("start", "the hook")
	p.Call("dup3", unix.SYS_DUP3, p.FD(in, "stdin"), launch.Int(0), launch.Int(0))
	p.Call("dup3", unix.SYS_DUP3, p.FD(out, "output"), launch.Int(1), launch.Int(0))
	p.Call("dup3", unix.SYS_DUP3, p.FD(out, "output"), launch.Int(2), launch.Int(0))
}
