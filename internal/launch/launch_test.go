package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// finish waits for the child and returns its exit status.
func finish(t *testing.T, c *Child) int {
	t.Helper()
	defer c.Close()
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(c.Pid, &ws, 0, nil)
		if err != unix.EINTR {
			if err != nil {
				t.Fatal(err)
			}
			return ws.ExitStatus()
		}
	}
}

func TestStartExecutes(t *testing.T) {
	p := New()
	p.Doing("execute", "sh")
	p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs([]string{"sh", "-c", "exit $N"}), p.Strs([]string{"N=7"}))
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Fatalf("after execve: %v, want EOF", err)
	}
	if code := finish(t, c); code != 7 {
		t.Fatalf("exit status %d, want 7", code)
	}
}

func TestFailureNamesTheStep(t *testing.T) {
	p := New()
	p.Doing("create", "/nonexistent/x")
	p.Call("mkdirat", unix.SYS_MKDIRAT, Int(unix.AT_FDCWD), p.Str("/nonexistent/x"), Oct(0o755))
	p.Exit(0)
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Next()
	var e *Error
	if !errors.As(err, &e) || e.Index != 0 || e.Call != "mkdirat" || !errors.Is(err, unix.ENOENT) {
		t.Fatalf("got %#v", err)
	}
	if want := "create /nonexistent/x: no such file or directory"; err.Error() != want {
		t.Fatalf("got %q, want %q", err, want)
	}
	if code := finish(t, c); code != failCode {
		t.Fatalf("exit status %d", code)
	}
}

// TestControlFlow drives every pseudo step: the exit status tells which path was taken.
func TestControlFlow(t *testing.T) {
	for _, tc := range []struct {
		name string
		plan func(p *Plan)
		code int
	}{
		{"tolerated errno continues at label", func(p *Plan) {
			l := p.NewLabel()
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Ok(uint16(unix.EBADF)).Else(l)
			p.Exit(1)
			p.Bind(l)
			p.Exit(3)
		}, 3},
		{"tolerated errno goes on", func(p *Plan) {
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Ok(uint16(unix.EBADF))
			p.Exit(4)
		}, 4},
		{"jump if zero", func(p *Plan) {
			s, l := p.Slot("s"), p.NewLabel()
			p.JumpZero(s, l)
			p.Exit(1)
			p.Bind(l)
			p.Set(s, 1)
			m := p.NewLabel()
			p.JumpZero(s, m)
			p.Exit(5)
			p.Bind(m)
			p.Exit(2)
		}, 5},
		{"assert", func(p *Plan) {
			mem, _ := p.Mem(8)
			s, l := p.Slot("s"), p.NewLabel()
			p.Set(s, 0x1234)
			p.Store32(mem, s)
			p.Assert32(mem, 0xff00, 0x1200, uint16(unix.EINVAL))
			p.Assert32(mem, 0xff, 0x35, uint16(unix.EINVAL)).Else(l)
			p.Exit(1)
			p.Bind(l)
			p.Exit(6)
		}, 6},
		{"a jump over a step", func(p *Plan) {
			l := p.NewLabel()
			p.Jump(l)
			p.Exit(1)
			p.Bind(l)
			p.Exit(8)
		}, 8},
		{"assert fails", func(p *Plan) {
			mem, _ := p.Mem(4)
			p.Assert32(mem, 1, 1, uint16(unix.EINVAL))
			p.Exit(0)
		}, failCode},
		{"fail slot", func(p *Plan) {
			s := p.Slot("s")
			p.FailSlot(s)
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Ok(uint16(unix.EBADF)).Out(s)
			p.FailSlot(s)
			p.Exit(0)
		}, failCode},
		{"falling off the end", func(p *Plan) { p.Set(p.Slot("s"), 1) }, failCode},
		{"unwanted result", func(p *Plan) {
			p.Call("getppid", unix.SYS_GETPPID).Want(0)
			p.Exit(0)
		}, failCode},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := New()
			p.Doing("test", tc.name)
			tc.plan(p)
			c, err := p.Start(Clone{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Next()
			if tc.code == failCode && (err == nil || err == io.EOF) {
				t.Error("no failure was reported")
			}
			if code := finish(t, c); code != tc.code {
				t.Fatalf("exit status %d, want %d", code, tc.code)
			}
		})
	}
}

func TestNotify(t *testing.T) {
	p := New()
	s := p.Slot("pid")
	p.Doing("tell", "pid")
	p.Call("getpid", unix.SYS_GETPID).Out(s)
	p.Notify(42, s)
	p.Exit(0)
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Next()
	if err != nil || n.Code != 42 || n.Value != uint32(c.Pid) {
		t.Fatalf("notice %+v, %v; want code 42, value %d", n, err, c.Pid)
	}
	finish(t, c)
}

func TestSignalStateIsClean(t *testing.T) {
	p := New()
	p.Doing("execute", "grep")
	p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/grep"), p.Strs([]string{"grep", "-q", "^SigBlk:[[:space:]]*0*$", "/proc/self/status"}), p.Strs(nil))
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	if code := finish(t, c); code != 0 {
		t.Fatal("the program starts with blocked signals")
	}
}

func TestSealRefusesBackwardJump(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "backwards") {
			t.Fatalf("recovered %v", r)
		}
	}()
	p := New()
	l := p.NewLabel()
	p.Bind(l)
	p.Exit(0)
	p.Jump(l)
	p.seal()
}

func TestAppendText(t *testing.T) {
	p := New()
	fd, l := p.Slot("fd"), p.NewLabel()
	p.Doing("open", "/etc")
	p.Call("openat2", unix.SYS_OPENAT2, Int(unix.AT_FDCWD), p.Str("etc"), p.How(unix.O_PATH, unix.RESOLVE_IN_ROOT, 0), Int(24)).Out(fd).Ok(uint16(unix.ENOENT)).Else(l)
	p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, Of(fd), p.Str(""), Hex(unix.AT_EMPTY_PATH), p.Attr(1, 2, 0), Int(32))
	p.Bind(l)
	p.Doing("execute", "a")
	p.Call("execve", unix.SYS_EXECVE, p.Str("/a"), p.Strs([]string{"a", "b"}), p.Strs(nil))
	want := `# open /etc
000 $fd = openat2(-100, "etc", {0x200000 00 0x10}, 24) ok ENOENT else 002
001 mount_setattr($fd, "", 0x1000, {set 0x1 clear 0x2 propagation 0x0}, 32)
# execute a
002 execve("/a", ["a" "b"], [])
`
	if got := string(p.AppendText(nil)); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
}

// A child with shared memory runs beside a parent that allocates and collects, and its plan,
// slots and stack stay what they are.
func TestSharedMemory(t *testing.T) {
	if !canShare {
		t.Skip("children have memory of their own on this architecture")
	}
	for range 50 {
		p := New()
		l := p.NewLabel()
		pid := p.Slot("pid")
		for range 200 {
			p.Call("getpid", unix.SYS_GETPID).Out(pid)
		}
		mem, _ := p.Mem(4)
		p.Store32(mem, pid)
		p.Call("close", unix.SYS_CLOSE, Int(-1)).Ok(uint16(unix.EBADF)).Else(l)
		p.Exit(1)
		p.Bind(l)
		p.Notify(7, pid)
		p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs([]string{"sh", "-c", "exit $N"}), p.Strs([]string{"N=9"}))
		c, err := p.Start(Clone{Share: true})
		if err != nil {
			t.Fatal(err)
		}
		var keep [][]byte
		for range 20 {
			keep = append(keep, make([]byte, 64<<10))
			runtime.GC()
		}
		n, err := c.Next()
		if err != nil || n != (Notice{7, uint32(c.Pid)}) {
			t.Fatalf("notice %+v, %v; want the pid %d", n, err, c.Pid)
		}
		// What the child wrote, the parent sees: it is the same memory.
		if got := binary.NativeEndian.Uint32(mem); got != uint32(c.Pid) {
			t.Fatalf("the memory is not shared: it holds %d, not %d", got, c.Pid)
		}
		if _, err := c.Next(); err != io.EOF {
			t.Fatalf("after execve: %v, want EOF", err)
		}
		if code := finish(t, c); code != 9 {
			t.Fatalf("exit status %d, want 9", code)
		}
		runtime.KeepAlive(keep)
	}
	if len(pinned.list) != 0 {
		t.Errorf("%d children's memory is still kept", len(pinned.list))
	}
}

// Kill ends a child that shares memory and hangs; the parent lives on and the memory goes.
func TestKillShared(t *testing.T) {
	p := New()
	p.Call("pause", unix.SYS_PPOLL, Int(0), Int(0), Int(0), Int(0), Int(0))
	c, err := p.Start(Clone{Share: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Kill()
	if len(pinned.list) != 0 {
		t.Errorf("%d children's memory is still kept", len(pinned.list))
	}
}

// The child begins with no signal blocked and none handled, though the Go runtime handles most.
func TestSignalState(t *testing.T) {
	for _, share := range []bool{false, true} {
		p := New()
		p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs([]string{"sh", "-c", "kill -USR1 $$; exit 3"}), p.Strs(nil))
		c, err := p.Start(Clone{Share: share})
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Pid))
		if err == nil && strings.Contains(string(status), "SigCgt:\tffff") {
			t.Errorf("share %v: the child handles the Go runtime's signals", share)
		}
		for err = nil; err == nil; {
			_, err = c.Next()
		}
		var ws unix.WaitStatus
		if _, err := unix.Wait4(c.Pid, &ws, 0, nil); err != nil || !ws.Signaled() || ws.Signal() != unix.SIGUSR1 {
			t.Errorf("share %v: status %#x, %v; want death by SIGUSR1: the mask is not empty", share, ws, err)
		}
		c.Close()
	}
}
