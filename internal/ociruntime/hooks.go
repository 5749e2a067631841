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
	var in, out [2]int
	for _, p := range []*[2]int{&in, &out} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
	}
	undo.fd(in[0])
	undo.fd(out[0])
	child, err := c.startHook(kind, h, in[0], out[1], &undo)
	unix.Close(out[1])
	if err != nil {
		unix.Close(in[1])
		return err
	}
	defer child.Close()
	if _, err := child.Next(); err != io.EOF {
		unix.Close(in[1])
		unix.Wait4(child.Pid, nil, 0, nil)
		return err
	}
	go func() { // a hook need not read its input
		unix.Write(in[1], state)
		unix.Close(in[1])
	}()
	if h.Timeout != nil {
		t := time.AfterFunc(time.Duration(*h.Timeout)*time.Second, func() { unix.PidfdSendSignal(child.PidFD, unix.SIGKILL, nil, 0) })
		defer t.Stop()
	}
	output := make(chan string, 1)
	go func() {
		buf := make([]byte, 4096)
		kept := ""
		for {
			n, err := unix.Read(out[0], buf)
			if n > 0 && len(kept) < 64<<10 {
				kept += string(buf[:n])
			}
			if n <= 0 && err != unix.EINTR {
				break
			}
		}
		output <- kept
	}()
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(child.Pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	if ws.Exited() && ws.ExitStatus() == 0 {
		return nil
	}
	text := ""
	select {
	case text = <-output:
	case <-time.After(100 * time.Millisecond):
	}
	if ws.Signaled() {
		return fmt.Errorf("killed by signal %d: %s", ws.Signal(), strings.TrimSpace(text))
	}
	if text = strings.TrimSpace(text); text != "" {
		text = ": " + text
	}
	return fmt.Errorf("exit status %d%s", ws.ExitStatus(), text)
}

// startHook starts the program of a hook, with in and out as its standard ones.
func (c *Container) startHook(kind string, h specs.Hook, in, out int, undo *undoList) (*launch.Child, error) {
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	p := newPlanner()
	stdio := func() {
		p.Doing("start", "the hook")
		for fd, from := range [3]int{in, out, out} {
			p.Call("dup3", unix.SYS_DUP3, launch.Int(from), launch.Int(fd), launch.Int(0))
		}
	}
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
		stdio()
		p.finish(e)
		return way.start(p, sync, &pr)
	}
	var clone launch.Clone
	if kind == "createContainer" {
		pidfd, err := unix.PidfdOpen(c.InitPid, 0)
		if err != nil {
			return nil, err
		}
		undo.fd(pidfd)
		// Its path is one of the host's (config.md, POSIX-platform Hooks), whose root is still
		// init's own.
		root, err := unix.Open("/proc/"+itoa(uint64(c.InitPid))+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open the root of the container's init: %w", err)
		}
		undo.fd(root)
		p.Doing("join the namespaces of", "container "+c.ID)
		p.Call("setns", unix.SYS_SETNS, launch.Int(pidfd), launch.Hex(c.Namespaces&^unix.CLONE_NEWPID))
		if c.Namespaces&unix.CLONE_NEWUSER != 0 {
			p.becomeRoot() // or execve would take the rights away from an id that is nobody there
		}
		p.Call("fchdir", unix.SYS_FCHDIR, launch.Int(root))
		p.Call("chroot", unix.SYS_CHROOT, p.Str("."))
		if me := thisCaller(); c.Namespaces&unix.CLONE_NEWPID != 0 && me.returns() {
			clone.PidNS = pidfd
		}
	}
	stdio()
	p.Call("chdir", unix.SYS_CHDIR, p.Str("/"))
	p.Call("close_range", unix.SYS_CLOSE_RANGE, launch.Int(3), launch.Hex(0xffffffff), launch.Int(unix.CLOSE_RANGE_CLOEXEC))
	p.rlimits(nil, c.r.OpenFiles)
	p.Doing("execute", h.Path)
	p.Call("execve", unix.SYS_EXECVE, p.Str(h.Path), p.Strs(args), p.Strs(h.Env))
	return p.Start(clone)
}
