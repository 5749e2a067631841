package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// noticeListener tells the parent the descriptor under which the child will have the listener
// of its seccomp filter in a moment.
const noticeListener = 3

// listen plans the installation of a filter that notifies an agent (linux.seccomp.listenerPath).
//
// The listener must reach the agent before the container's program runs, but from the moment
// the filter is there any system call of the child may wait for the agent's answer, or fail. So
// the child says beforehand which number the listener will have, and does nothing but to wait:
//
//	child                                  parent                             agent
//	notice: the listener will be n    ───►
//	seccomp(NEW_LISTENER) = n              pidfd_getfd(child, n) until there
//	read: waits, or waits for the          connect, sendmsg              ───► n, state as JSON
//	      agent, if read notifies     ◄─── 1 byte (run, exec)
//	      …or for `start` (create)
//	close(n), execve                                                     ◄──► notifications
//
// The parent asks until the descriptor is there; no filter can keep the child from getting that
// far. The calls that a profile must not refuse are read(2) and, as with runc, close(2) of the
// child's own copy; they may be the agent's to answer. runc needs write(2) without notice, too.
//
// Only who may trace the child can take its descriptor. Without CAP_SYS_PTRACE over the host
// (rootless) the child sends it, by a sendmsg(2) that the profile must allow without notice.
func (p *planner) listen(e ending) {
	p.Doing("install", "the seccomp filter and its listener")
	listener := p.Slot("listener")
	// The kernel takes the lowest free number: the one that a copy of any descriptor gets.
	p.Call("fcntl", unix.SYS_FCNTL, launch.Of(launch.Report), launch.Int(unix.F_DUPFD_CLOEXEC), launch.Int(0)).Out(listener)
	p.close(listener)
	p.Notify(noticeListener, listener)
	if e.startFD >= 0 {
		p.reportTo(e.statusFD)
	}
	p.install(e.filter).Out(listener)
	if !mayTakeFDs() {
		p.Doing("hand over", "the seccomp listener")
		p.sendFD(e.sync, listener)
	}
	p.Doing("wait for", "the seccomp agent to have its listener (the profile must not refuse read)")
	if e.startFD >= 0 {
		p.awaitStart(e)
	} else {
		p.read1(e.sync, "sync")
	}
	// From here on an agent that goes away means ENOSYS, not waiting for ever.
	p.Doing("close", "the seccomp listener (the profile must not refuse close)")
	p.close(listener)
}

// mayTakeFDs says whether pidfd_getfd(2) of a non-dumpable child is allowed.
func mayTakeFDs() bool { return ownEffective()&(1<<unix.CAP_SYS_PTRACE) != 0 }

// followExec answers the notices of an exec process until its program runs.
func (p *Process) followExec(pr *specs.Process, sync int, consoleSocket string) error {
	for {
		n, err := p.child.Next()
		switch {
		case err == io.EOF:
			return p.takeTerminal(pr.Terminal, sync, consoleSocket)
		case err != nil:
			return programError(err, pr.Args[0])
		case n.Code == noticeListener: // as in follow
			if err := p.takeTerminal(pr.Terminal, sync, consoleSocket); err != nil {
				return err
			}
			if err := p.handOverListener(int(n.Value), sync, specs.StateRunning); err != nil {
				return err
			}
			if err := goAhead(sync); err != nil {
				return err
			}
		}
	}
}

// handOverListener sends the child's listener, which has or will have the number n there, to the
// agent of linux.seccomp.listenerPath (runtime-linux.md and config-linux.md, The Container
// Process State). status is the container's.
func (p *Process) handOverListener(n, sync int, status specs.ContainerState) error {
	fd, err := p.takeListener(n, sync)
	if err != nil {
		return fmt.Errorf("take the seccomp listener of the container process: %w", err)
	}
	defer unix.Close(fd)
	c := p.c
	agent := c.spec.Seccomp
	text := ocispec.AppendSeccompState(nil, &specs.ContainerProcessState{
		Version: c.OCIVersion, Fds: []string{specs.SeccompFdName}, Pid: p.child.Pid, Metadata: agent.ListenerMetadata,
		State: specs.State{Version: c.OCIVersion, ID: c.ID, Status: status, Pid: c.InitPid, Bundle: c.Bundle, Annotations: c.Annotations},
	})
	if err := sendOver(agent.ListenerPath, fd, string(text)); err != nil {
		return fmt.Errorf("hand over the seccomp listener to linux.seccomp.listenerPath: %w", err)
	}
	return nil
}

// takeListener gets a copy of the descriptor n of the child, which it is about to open.
func (p *Process) takeListener(n, sync int) (int, error) {
	if !mayTakeFDs() {
		// A profile that notifies of sendmsg itself would make both sides wait for ever.
		const patience = 10_000 // ms
		if k, err := unix.Poll([]unix.PollFd{{Fd: int32(sync), Events: unix.POLLIN}}, patience); k == 0 || err != nil {
			return -1, errors.New("it does not come: without CAP_SYS_PTRACE the profile must allow sendmsg")
		}
		return receiveFD(sync)
	}
	for pause := int64(20_000); ; pause = min(2*pause, 1_000_000) { // ns
		fd, err := unix.PidfdGetfd(p.child.PidFD, n, 0)
		if err != unix.EBADF && err != unix.ESRCH {
			return fd, err
		}
		ended, err := unix.Ppoll([]unix.PollFd{{Fd: int32(p.child.PidFD), Events: unix.POLLIN}}, &unix.Timespec{Nsec: pause}, nil)
		if err != nil && err != unix.EINTR {
			return -1, err
		}
		if ended > 0 {
			return -1, p.whyEnded()
		}
	}
}

// whyEnded is the error of a child that has ended while it installed its filter: its record is in
// the report pipe or, when it is to wait for `start`, in the status FIFO.
func (p *Process) whyEnded() error {
	var killed *launch.DeathError
	if _, err := p.child.Next(); errors.As(err, &killed) {
		return fmt.Errorf("%w; linux.seccomp must not refuse read", err)
	} else if err != nil && err != io.EOF {
		return err
	}
	r, err := unix.Open(filepath.Join(p.c.dir, statusFifo), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(r)
		b := make([]byte, 8)
		if n, _ := unix.Read(r, b); n == len(b) {
			return p.child.Failure(b)
		}
	}
	return errors.New("the process has ended; linux.seccomp must not refuse read")
}
