package launch

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestLoad32(t *testing.T) {
	p := New()
	mem, _ := p.Mem(8)
	binary.NativeEndian.PutUint32(mem, 0xfffffff7)
	binary.NativeEndian.PutUint32(mem[4:], 0xdead) // not part of the word
	s := p.Slot("word")
	p.Load32(s, mem)
	p.Store64(mem, s)
	p.Assert32(mem, ^uint32(0), 0xfffffff7, uint16(unix.EINVAL))
	p.Assert32(mem[4:], ^uint32(0), 0, uint16(unix.EINVAL)) // not sign-extended
	p.Exit(3)
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("the plan failed: %v", err)
	}
	if code := finish(t, c); code != 3 {
		t.Errorf("exit status %d, want 3", code)
	}
}

// forked is a plan whose first process sends its successor's pidfd over a socket and ends; the
// successor goes on with then.
func forked(t *testing.T, sock int, then func(p *Plan)) *Child {
	t.Helper()
	p := New()
	pidfd, _ := p.Mem(4)
	pid, fd, second := p.Slot("pid"), p.Slot("fd"), p.NewLabel()
	p.Doing("make", "the second process")
	p.Fork(0, pidfd).Out(pid)
	p.JumpZero(pid, second)
	control, _ := p.Mem(unix.CmsgSpace(4))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4))
	p.Load32(fd, pidfd)
	p.Store32(control[unix.CmsgLen(0):], fd)
	data, _ := p.Mem(1)
	m := &unix.Msghdr{Iov: &unix.Iovec{Base: &data[0], Len: 1}, Iovlen: 1, Control: &control[0]}
	m.SetControllen(len(control))
	p.Keep(m)
	_, arg := p.Mem(1)
	p.Call("sendmsg", unix.SYS_SENDMSG, p.FD(sock, "socket"), arg.To(unsafe.Pointer(m)), Int(0)).Want(1)
	p.Notify(7, 0)
	p.Exit(0)
	p.Bind(second)
	then(p)
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func received(t *testing.T, sock int) int {
	t.Helper()
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	return fds[0]
}

func sockets(t *testing.T) [2]int {
	t.Helper()
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s[0]); unix.Close(s[1]) })
	return s
}

// TestForkSucceeds: the second process is a child of ours, its program runs with a clean signal
// state, its report is the one that we read, and its exit status is the child's.
func TestForkSucceeds(t *testing.T) {
	s := sockets(t)
	c := forked(t, s[1], func(p *Plan) {
		p.Doing("execute", "sh")
		p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs([]string{"sh", "-c", `grep -q '^SigBlk:[[:space:]]*0*$' /proc/self/status && exit 9`}), p.Strs(nil))
	})
	first := c.Pid
	if n, err := c.Next(); err != nil || n.Code != 7 {
		t.Fatalf("%+v, %v; want the first process's notice", n, err)
	}
	if err := c.Succeed(received(t, s[0])); err != nil {
		t.Fatal(err)
	}
	if c.Pid == first || c.Pid <= 0 {
		t.Errorf("the child is still process %d", c.Pid)
	}
	if err := unix.Kill(first, 0); err != unix.ESRCH {
		t.Errorf("the first process was not waited for: %v", err)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("after execve: %v, want EOF", err)
	}
	if code := finish(t, c); code != 9 {
		t.Errorf("exit status %d, want the second process's 9", code)
	}
}

func TestForkReportsTheSecondsFailure(t *testing.T) {
	s := sockets(t)
	c := forked(t, s[1], func(p *Plan) {
		p.Doing("change to", "/nonexistent")
		p.Call("chdir", unix.SYS_CHDIR, p.Str("/nonexistent"))
		p.Exit(0)
	})
	var e *Error
	_, err := c.Next()
	if err == nil { // the first process's notice
		_, err = c.Next()
	}
	if !errors.As(err, &e) || e.Doing != "change to /nonexistent" || e.Errno != unix.ENOENT {
		t.Errorf("got %v", err)
	}
	fd := received(t, s[0])
	if err := c.Succeed(fd); err != nil {
		t.Fatal(err)
	}
	if code := finish(t, c); code != failCode {
		t.Errorf("exit status %d", code)
	}
}

// TestSucceedByTheDead: a pidfd whose process is gone names no process.
func TestSucceedByTheDead(t *testing.T) {
	p := New()
	p.Exit(0)
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(c.PidFD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c)
	if err := c.Succeed(fd); !errors.Is(err, unix.ESRCH) {
		t.Errorf("got %v, want ESRCH", err)
	}
}

func TestForkPrints(t *testing.T) {
	p := New()
	mem, _ := p.Mem(4)
	p.Doing("make", "x")
	p.Fork(unix.CLONE_NEWPID, mem).Out(p.Slot("pid"))
	p.Load32(p.Slot("fd"), mem)
	p.Exit(0)
	got := string(p.AppendText(nil))
	if want := "# make x\n000 $pid = clone3({0x20009000}, 88)\n001 $fd = load32(mem)\n002 exit(0)\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if strings.Contains(got, "0xc0") {
		t.Error("an address is printed")
	}
}
