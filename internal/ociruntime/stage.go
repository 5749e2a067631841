package ociruntime

import (
	"fmt"
	"slices"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// noticeStage: the first process has made its successor; the pidfd is in the socket.
const noticeStage = 4

// stage plans to join namespaces and to go on in a process that is born in them; see
// [launch.Plan.Fork]. made are those that are made for it, and belong to the user namespace that
// is joined or made.
//
// It is needed for a user namespace that is joined, since the others must belong to it or are
// only open to an ordinary user from within it; and for a new one when others are joined, since
// root there has no rights in the host's.
func (p *planner) stage(sync int, join []joined, made uint64) {
	user := slices.ContainsFunc(join, func(n joined) bool { return n.flag&unix.CLONE_NEWUSER != 0 })
	// A namespace of the host's is entered with the creator's rights, before the user
	// namespace takes them; one that belongs to the user namespace, by an ordinary user, after.
	refused := make([]launch.Slot, len(join))
	enter := func(n joined) launch.Step {
		p.Doing("join the namespace", n.path)
		return p.Call("setns", unix.SYS_SETNS, p.FD(n.fd, "namespace"), launch.Hex(n.flag))
	}
	for i, n := range join {
		if n.flag&unix.CLONE_NEWUSER == 0 {
			step := enter(n)
			if user {
				refused[i] = p.Slot("refused") // 0 after success
				step.Ok(ePERM).Out(refused[i])
			}
		}
	}
	for _, n := range join {
		if n.flag&unix.CLONE_NEWUSER != 0 {
			enter(n)
		}
	}
	for i, n := range join {
		if refused[i] != 0 {
			entered := p.NewLabel()
			p.JumpZero(refused[i], entered)
			enter(n)
			p.Bind(entered)
		}
	}
	if user {
		p.becomeRoot()
	}
	p.Doing("create", "the container process")
	pidfd, _ := p.Mem(4)
	pid, second := p.Slot("second"), p.NewLabel()
	p.Fork(made, pidfd).Out(pid)
	p.JumpZero(pid, second)
	p.sendMem(sync, pidfd)
	p.Notify(noticeStage, 0)
	p.Exit(0)
	p.Bind(second)
	// Not before the runtime knows whom it has to wait for.
	p.Doing("wait for", "the runtime")
	p.read1(sync, "sync")
}

// succeed waits for the second process, makes child stand for it, and lets it go on.
func succeed(child *launch.Child, sync int) error {
	n, err := child.Next()
	if err != nil {
		return err
	}
	if n.Code != noticeStage {
		return fmt.Errorf("create the container process: %w", unix.EPROTO)
	}
	fd, err := receiveFD(sync)
	if err != nil {
		return fmt.Errorf("create the container process: %w", err)
	}
	if err := child.Succeed(fd); err != nil {
		return err
	}
	return goAhead(sync)
}
