package launch

import (
	"errors"
	"io"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRebirth: the plan goes on in a copy, which is the caller's child and is waited for in
// the place of the one that ended.
func TestRebirth(t *testing.T) {
	p := New()
	p.Rebirth()
	p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs([]string{"sh", "-c", "test $$ = $(cut -d' ' -f1 /proc/self/stat) || exit $((PPID == " + strconv.Itoa(os.Getpid()) + " ? 7 : 8))"}), p.Strs([]string{"PATH=/bin:/usr/bin"}))
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	first := c.Pid
	if _, err := c.Next(); err != io.EOF {
		t.Fatalf("after execve: %v, want EOF", err)
	}
	if c.Pid == first {
		t.Error("the child is still the first one")
	}
	if _, err := unix.Wait4(first, nil, 0, nil); err != unix.ECHILD {
		t.Errorf("the first child was not waited for: %v", err)
	}
	if code := finish(t, c); code != 7 {
		t.Fatalf("exit status %d, want 7: a child of ours that is not the first one", code)
	}
}

// TestRebirthNotice: a notice of the second process never comes before the parent knows it.
func TestRebirthNotice(t *testing.T) {
	for range 50 {
		p := New()
		p.Rebirth()
		p.Notify(9, 0)
		p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/true"), p.Strs([]string{"true"}), p.Strs(nil))
		c, err := p.Start(Clone{})
		if err != nil {
			t.Fatal(err)
		}
		first := c.Pid
		if n, err := c.Next(); err != nil || n.Code != 9 || c.Pid == first {
			t.Fatalf("%+v, %v from process %d, which is the first", n, err, c.Pid)
		}
		if _, err := c.Next(); err != io.EOF {
			t.Fatalf("after execve: %v, want EOF", err)
		}
		finish(t, c)
	}
}

// TestRebirthThatFails: however quickly the copy fails, its step is reported and no zombie stays.
func TestRebirthThatFails(t *testing.T) {
	for range 50 {
		p := New()
		p.Rebirth()
		p.Doing("try", "it")
		p.Fail(uint16(unix.EXDEV))
		c, err := p.Start(Clone{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(); !errors.Is(err, unix.EXDEV) || err.Error() != "try it: invalid cross-device link" {
			t.Fatalf("got %v", err)
		}
		pid := c.Pid
		c.Kill()
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.ECHILD {
			t.Fatalf("the copy was not waited for: %v", err)
		}
	}
}

// TestCloseOthers: a descriptor that is not close-on-exec is closed before execve; the ones to
// keep and the report are not.
func TestCloseOthers(t *testing.T) {
	var fds [3]int
	for i := range fds {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // not O_CLOEXEC
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	p := New()
	for _, fd := range fds {
		p.FD(fd, "null") // not closed at birth
	}
	p.CloseOthers(3, fds[1])
	for i, fd := range fds {
		closed := p.NewLabel()
		p.Call("fcntl", unix.SYS_FCNTL, Int(fd), Int(unix.F_GETFD), Int(0)).Ok(uint16(unix.EBADF)).Else(closed)
		if i != 1 {
			p.Exit(10 + i)
		}
		p.Bind(closed)
	}
	p.Call("fcntl", unix.SYS_FCNTL, Int(fds[1]), Int(unix.F_GETFD), Int(0))
	p.Fail(uint16(unix.EXDEV)) // reported: the pipe is open
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); !errors.Is(err, unix.EXDEV) {
		t.Fatalf("the last step: %v, want EXDEV", err)
	}
	if code := finish(t, c); code != failCode {
		t.Errorf("exit status %d", code)
	}
}
