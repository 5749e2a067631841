package launch

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// outcome runs a plan and returns its exit status and the errno that it reported, 0 for none.
func outcome(t *testing.T, p *Plan) (code int, errno syscall.Errno) {
	t.Helper()
	c, err := p.Start(Clone{})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	for err == nil {
		_, err = c.Next()
	}
	if errors.As(err, &e) {
		errno = e.Errno
	}
	return finish(t, c), errno
}

// TestHostileResults: each pseudo step with results that a kernel, a seccomp filter around us or
// a tracer may give and a plan's author did not think of.
func TestHostileResults(t *testing.T) {
	const all = ^uint32(0)
	for _, tc := range []struct {
		name  string
		plan  func(p *Plan)
		code  int
		errno syscall.Errno
	}{
		{"fail-if takes an errno", func(p *Plan) {
			s := p.Slot("s")
			p.Set(s, -int(unix.EPERM))
			p.FailSlot(s)
		}, failCode, unix.EPERM},
		{"fail-if lets a large result pass", func(p *Plan) {
			s := p.Slot("s")
			p.Set(s, -4096)
			p.FailSlot(s)
			p.Set(s, int(all))
			p.FailSlot(s)
			p.Exit(1)
		}, 1, 0},
		{"a negative result is not zero", func(p *Plan) {
			s, l := p.Slot("s"), p.NewLabel()
			p.Set(s, -1)
			p.JumpZero(s, l)
			p.Exit(2)
			p.Bind(l)
			p.Exit(3)
		}, 2, 0},
		{"a wanted result that fails keeps its errno", func(p *Plan) {
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Want(0)
		}, failCode, unix.EBADF},
		{"a wanted result that fails as tolerated goes on", func(p *Plan) {
			l := p.NewLabel()
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Want(0).Ok(uint16(unix.EBADF)).Else(l)
			p.Exit(1)
			p.Bind(l)
			p.Exit(4)
		}, 4, 0},
		{"a short write is no success", func(p *Plan) {
			fd := p.Slot("fd")
			p.Call("openat", unix.SYS_OPENAT, Int(unix.AT_FDCWD), p.Str("/dev/null"), Hex(unix.O_WRONLY), Int(0)).Out(fd)
			p.Call("write", unix.SYS_WRITE, Of(fd), p.Str("four"), Int(4)).Want(5)
		}, failCode, unix.EPROTO},
		{"another errno than the four tolerated", func(p *Plan) {
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Ok(uint16(unix.EPERM), uint16(unix.ENOENT), uint16(unix.EIO), uint16(unix.EINVAL))
		}, failCode, unix.EBADF},
		{"the fourth tolerated errno", func(p *Plan) {
			p.Call("close", unix.SYS_CLOSE, Int(-1)).Ok(uint16(unix.EPERM), uint16(unix.ENOENT), uint16(unix.EIO), uint16(unix.EBADF))
			p.Exit(5)
		}, 5, 0},
		{"store32 writes 32 bits", func(p *Plan) {
			s := p.Slot("s")
			mem, _ := p.Mem(8)
			binary.NativeEndian.PutUint64(mem, ^uint64(0))
			p.Set(s, 0x7_0000_0001)
			p.Store32(mem, s)
			p.Assert32(mem, all, 1, uint16(unix.E2BIG))
			p.Assert32(mem[4:], all, all, uint16(unix.EDOM))
			p.Exit(6)
		}, 6, 0},
		{"store64 writes 64", func(p *Plan) {
			s := p.Slot("s")
			mem, _ := p.Mem(8)
			p.Set(s, 0x7_0000_0001)
			p.Store64(mem, s)
			p.Assert32(mem, all, 1, uint16(unix.E2BIG))
			p.Assert32(mem[4:], all, 7, uint16(unix.EDOM))
			p.Exit(7)
		}, 7, 0},
		{"an assertion under an empty mask", func(p *Plan) {
			mem, _ := p.Mem(4)
			binary.NativeEndian.PutUint32(mem, all)
			p.Assert32(mem, 0, 0, uint16(unix.EINVAL))
			p.Assert32(mem, 0, 1, uint16(unix.ERANGE))
			p.Exit(1)
		}, failCode, unix.ERANGE},
		{"the last slot", func(p *Plan) {
			var s Slot
			for s != 255 {
				s = p.Slot("s")
			}
			l := p.NewLabel()
			p.Call("getpid", unix.SYS_GETPID).Out(s)
			p.JumpZero(s, l)
			p.Exit(8)
			p.Bind(l)
			p.Exit(1)
		}, 8, 0},
		{"a jump to the very end", func(p *Plan) {
			l := p.NewLabel()
			p.Jump(l)
			p.Exit(1)
			p.Bind(l)
		}, failCode, unix.EPROTO},
		{"fail", func(p *Plan) { p.Fail(uint16(unix.EXDEV)) }, failCode, unix.EXDEV},
		{"a call that does not exist", func(p *Plan) { p.Call("none", 100_000) }, failCode, unix.ENOSYS},
		{"an address that does not exist", func(p *Plan) {
			p.Call("openat", unix.SYS_OPENAT, Int(unix.AT_FDCWD), Hex(1), Hex(0), Int(0))
		}, failCode, unix.EFAULT},
		{"an exit status of 8 bits", func(p *Plan) { p.Exit(0x109) }, 9, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := New()
			p.Doing("try", tc.name)
			tc.plan(p)
			if code, errno := outcome(t, p); code != tc.code || errno != tc.errno {
				t.Errorf("exit status %d, errno %d; want %d, %d", code, errno, tc.code, tc.errno)
			}
		})
	}
}

// TestReportInPieces: a record may come byte by byte; half a one is an error, not an end.
func TestReportInPieces(t *testing.T) {
	for _, tc := range []struct {
		bytes string
		n     int
		end   error
	}{
		{"\x07\x00\x00\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00", 2, io.EOF},
		{"\x07\x00\x00\x00\x09\x00\x00\x00\x08\x00\x00", 1, unix.EPROTO},
		{"\x00\x00\x00\x80\x05\x00\x00\x00", 0, unix.EIO},
		{"\xff\xff\xff\xff\x05\x00\x00\x00", 0, unix.EPROTO}, // no such step
	} {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := range len(tc.bytes) {
				unix.Write(pipe[1], []byte{tc.bytes[i]})
				time.Sleep(time.Millisecond / 2)
			}
			unix.Close(pipe[1])
		}()
		p := New()
		p.Doing("close", "it")
		p.Call("close", unix.SYS_CLOSE)
		c := &Child{report: pipe[0], plan: p}
		n := 0
		_, err := c.Next()
		for ; err == nil; _, err = c.Next() {
			n++
		}
		if n != tc.n || !errors.Is(err, tc.end) {
			t.Errorf("%q: %d notices, then %v; want %d, %v", tc.bytes, n, err, tc.n, tc.end)
		}
		unix.Close(pipe[0])
	}
}

// hanging is a plan that tells and then waits for ever.
func hanging() *Plan {
	p := New()
	p.Doing("wait", "for ever")
	p.Notify(1, 0)
	p.Call("ppoll", unix.SYS_PPOLL, Int(0), Int(0), Int(0), Int(0), Int(0))
	p.Exit(0)
	return p
}

// TestKilledBeforeExec: the end of a killed child is not taken for that of execve; and the end
// of a program that dies as soon as it runs is.
func TestKilledBeforeExec(t *testing.T) {
	c, err := hanging().Start(Clone{})
	if err == nil {
		_, err = c.Next()
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.PidfdSendSignal(c.PidFD, unix.SIGKILL, nil, 0)
	_, err = c.Next()
	var d *DeathError
	if !errors.As(err, &d) || d.Signal != unix.SIGKILL || err.Error() != "the container process was killed by signal 9 (SIGKILL) before it executed its program" {
		t.Errorf("a child killed before execve: %v", err)
	}
	finish(t, c)

	for _, script := range []string{"kill -9 $$", "exit 0", "exec sleep 5"} {
		p := New()
		p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs([]string{"sh", "-c", script}), p.Strs([]string{"PATH=/bin:/usr/bin"}))
		c, err := p.Start(Clone{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // it has ended by then, but for the last
		if _, err := c.Next(); err != io.EOF {
			t.Errorf("%s: %v, want the end", script, err)
		}
		c.Kill()
	}
}

// TestKillOfAChildThatHangs: stopped or asleep, Kill ends it at once and leaves no zombie and
// no descriptor.
func TestKillOfAChildThatHangs(t *testing.T) {
	for _, stop := range []bool{false, true} {
		before := descriptors(t)
		c, err := hanging().Start(Clone{})
		if err == nil {
			_, err = c.Next()
		}
		if err != nil {
			t.Fatal(err)
		}
		if stop {
			unix.PidfdSendSignal(c.PidFD, unix.SIGSTOP, nil, 0)
		}
		start := time.Now()
		c.Kill()
		if took := time.Since(start); took > time.Second {
			t.Errorf("stopped %v: Kill took %v", stop, took)
		}
		if _, err := unix.Wait4(c.Pid, nil, unix.WNOHANG, nil); err != unix.ECHILD {
			t.Errorf("stopped %v: the child is not reaped: %v", stop, err)
		}
		c.Close() // once more
		if _, err := c.Next(); err != io.EOF {
			t.Errorf("Next of a closed child: %v", err)
		}
		if after := descriptors(t); after != before {
			t.Errorf("stopped %v: %d descriptors, %d before", stop, after, before)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestForeignDescriptors: a child holds nothing of its parent's but what its plan names, so
// what it lives on after does not keep a pipe or a lock.
func TestForeignDescriptors(t *testing.T) {
	var mine, other [2]int
	for _, p := range []*[2]int{&mine, &other} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	for _, share := range []bool{false, true} {
		p := New()
		p.Doing("write to", "the pipe")
		p.Call("write", unix.SYS_WRITE, p.FD(mine[1], "mine"), p.Str("x"), Int(1)).Want(1)
		p.Call("write", unix.SYS_WRITE, Int(other[1]), p.Str("x"), Int(1)).Ok(uint16(unix.EBADF)).Want(0xffffffff)
		p.Notify(1, 0)
		p.Call("ppoll", unix.SYS_PPOLL, Int(0), Int(0), Int(0), Int(0), Int(0))
		c, err := p.Start(Clone{Share: share})
		if err == nil {
			_, err = c.Next()
		}
		if err != nil {
			t.Fatalf("share %v: %v", share, err)
		}
		defer c.Kill()
	}
	unix.Close(other[1])
	got := make(chan int, 1)
	go func() {
		n, _ := unix.Read(other[0], make([]byte, 1))
		got <- n
	}()
	select {
	case n := <-got:
		if n != 0 {
			t.Errorf("read %d bytes, want the end of file", n)
		}
	case <-time.After(2 * time.Second):
		t.Error("the child holds a pipe that is not its own")
	}
	for _, fd := range []int{mine[0], mine[1], other[0]} {
		unix.Close(fd)
	}
}

// TestForeignRanges: the ranges are all descriptors but those to keep.
func TestForeignRanges(t *testing.T) {
	for _, tc := range []struct {
		inherit, report int
		fds             []int
		want            string
	}{
		{0, 5, nil, "3-4 6-"},
		{0, 3, []int{4, 5}, "6-"},
		{2, 9, []int{7, 7, 1, 4}, "5-6 8-8 10-"},
		{5, 4, []int{3}, "8-"},
	} {
		p := New()
		p.Inherit(tc.inherit)
		for _, fd := range tc.fds {
			p.FD(fd, "x")
		}
		got := ""
		for _, r := range p.foreign(tc.report) {
			if got += strconv.Itoa(int(r[0])) + "-"; r[1] != ^uint32(0) {
				got += strconv.Itoa(int(r[1])) + " "
			}
		}
		if got != tc.want {
			t.Errorf("inherit %d, report %d, %v: %s, want %s", tc.inherit, tc.report, tc.fds, got, tc.want)
		}
	}
}

// TestMemoryOfAClosedChild: a container that waits for start still executes its plan when
// nobody watches it any more; its memory goes when it needs it no more, and not before.
func TestMemoryOfAClosedChild(t *testing.T) {
	if !canShare {
		t.Skip("children have memory of their own on this architecture")
	}
	c, err := hanging().Start(Clone{Share: true})
	if err == nil {
		_, err = c.Next()
	}
	if err != nil {
		t.Fatal(err)
	}
	pid := c.Pid
	c.Close()
	another := func() {
		t.Helper()
		p := New()
		p.Exit(0)
		c, err := p.Start(Clone{Share: true})
		if err != nil {
			t.Fatal(err)
		}
		c.Kill()
	}
	another()
	if len(pinned.list) != 1 {
		t.Fatalf("%d pieces of memory are kept while one child executes its plan", len(pinned.list))
	}
	unix.Kill(pid, unix.SIGKILL)
	unix.Wait4(pid, nil, 0, nil)
	another()
	if len(pinned.list) != 0 {
		t.Errorf("%d pieces of memory are kept for nobody", len(pinned.list))
	}
}

func TestDescriptionIsOneLine(t *testing.T) {
	p := New()
	p.Doing("mount", "/a\nb\x1b")
	p.Exit(0)
	if got := string(p.AppendText(nil)); got != "# mount \"/a\\nb\\x1b\"\n000 exit(0)\n" {
		t.Errorf("got %q", got)
	}
}
