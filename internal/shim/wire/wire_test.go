package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	"golang.org/x/sys/unix"
)

func create() CreateBody {
	return CreateBody{ID: "id", Dir: "/d", Config: []byte(`{}`), Has: HasRoot | HasUserNS, OpenStdin: true, StdinOnce: true, Runtime: []string{"a", ""}, SystemdCgroup: true, NoPivot: true,
		Log: logfile.Config{Driver: "local", Dir: "/l", Name: "n", MaxSize: 1 << 40, MaxFiles: 3, Compress: true, Buffer: 9, Attrs: []byte("{}"), Fields: []string{"A=b"},
			Syslog: logfile.Syslog{Network: "udp", Address: "1.2.3.4:5", Priority: 30, Format: "rfc5424", Tag: "t", Hostname: "h"}}}
}

func info() Info {
	at := time.Unix(1, 2).UTC()
	return Info{ID: "id", Status: Running, Pid: 7, ShimPid: 8, Started: at, Execs: []ExecInfo{{ID: "x", Pid: 9}, {ID: "y", Pid: 10, Exit: &Exit{Code: 137, Signal: 9, At: at}}},
		LogLost: 3, LogErr: "full", Warnings: []string{"w"}, Exit: &Exit{Code: -1, OOM: true, OOMKills: 2, Err: "e"}}
}

// Every body comes back as it was, and so does one whose end is missing, as far as it goes: an
// older peer's.
func TestBodies(t *testing.T) {
	same := func(name string, got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	c := create()
	gc, err := ParseCreate(c.Append(nil))
	same("create", gc, c, err)
	i := info()
	gi, err := ParseInfo(i.Append(nil))
	same("info", gi, i, err)
	s := SignalBody{"x", 9, true}
	gs, err := ParseSignal(s.Append(nil))
	same("signal", gs, s, err)
	r := ResizeBody{"x", 80, 24}
	gr, err := ParseResize(r.Append(nil))
	same("resize", gr, r, err)
	a := AttachBody{"x", WantStdin | WantStderr, -1, []byte("p")}
	ga, err := ParseAttach(a.Append(nil))
	same("attach", ga, a, err)
	f := FailBody{ClassState, "no"}
	gf, err := ParseFail(f.Append(nil))
	same("fail", gf, f, err)
	e := EventBody{Kind: EventOOM, ExecID: "x", Exit: *i.Execs[1].Exit}
	ge, err := ParseEvent(e.Append(nil))
	same("event", ge, e, err)
	if n := ParseNumbers(Numbers(nil, []int{1, 70000})); !reflect.DeepEqual(n, []int{1, 70000}) {
		t.Errorf("numbers %v", n)
	}

	short, err := ParseSignal(s.Append(nil)[:9]) // "x" and the signal
	same("without its last field", short, SignalBody{"x", 9, false}, err)
	longer, err := ParseSignal(append(s.Append(nil), 1, 2, 3))
	same("with a field more", longer, s, err)
	if _, err := ParseSignal(s.Append(nil)[:7]); err != ErrBody {
		t.Errorf("cut within a field: %v", err)
	}
	if _, err := ParseInfo(bytes.Repeat([]byte{0xff}, 100)); err != ErrBody {
		t.Errorf("lengths beyond the body: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := AppendHead(nil, Hello, false, 1)
	for name, b := range map[string][]byte{
		"short":        good[:7],
		"version":      append([]byte{2}, good[1:]...),
		"flags":        {1, 1, 2, 0, 0, 0, 0, 0},
		"kind 0":       {1, 0, 0, 0, 0, 0, 0, 0},
		"kind unknown": {1, 40, 0, 0, 0, 0, 0, 0},
		"too long":     append(bytes.Clone(good), make([]byte, MaxPacket)...),
	} {
		if _, err := Parse(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if p, err := Parse(good); err != nil || p.Kind != Hello || p.Call != 1 {
		t.Errorf("%+v %v", p, err)
	}
}

func pair(t *testing.T) [2]int {
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s[0]); unix.Close(s[1]) })
	return s
}

// Packets, short and long, arrive with their descriptors; what is not asked for is closed.
func TestSockets(t *testing.T) {
	s := pair(t)
	buf := make([]byte, MaxPacket)
	if _, _, err := ReceivePacket(s[1], buf); err != unix.EAGAIN {
		t.Errorf("nothing there: %v", err)
	}
	for _, body := range []string{"", "x", strings.Repeat("y", MaxPacket-Head), strings.Repeat("z", MaxPacket), strings.Repeat("w", 3<<20)} {
		if err := SendPacket(s[0], OK, 77, []byte(body), 0, 1); err != nil {
			t.Fatal(err)
		}
		if n, err := PacketLength(s[1]); err != nil || n < Head {
			t.Errorf("length %d, %v", n, err)
		}
		p, files, err := ReceivePacket(s[1], buf)
		if err != nil || p.Kind != OK || p.Call != 77 || string(p.Body) != body || len(files) != 2 {
			t.Fatalf("%d bytes: %d descriptors, %v", len(body), len(files), err)
		}
		closeAll(files)
	}
	before := descriptors(t)
	unix.Sendmsg(s[0], []byte("not a packet"), unix.UnixRights(0, 1), nil, 0)
	if _, files, err := ReceivePacket(s[1], buf); err == nil || files != nil {
		t.Errorf("%v %v", files, err)
	}
	unix.Sendmsg(s[0], AppendHead(nil, OK, true, 1), unix.UnixRights(s[0]), nil, 0) // a socket for a file
	if _, _, err := ReceivePacket(s[1], buf); err == nil {
		t.Error("a body in a socket")
	}
	if err := SendPacket(s[0], Hello, 1, nil, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReceivePacket(s[1], buf); err == nil {
		t.Error("thirteen descriptors")
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors were open, now %d", before, after)
	}
	unix.Shutdown(s[0], unix.SHUT_WR)
	if p, _, err := ReceivePacket(s[1], buf); p != nil || err != nil {
		t.Errorf("the end: %v %v", p, err)
	}
}

func descriptors(t *testing.T) int {
	n := 0
	for fd := range 256 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func TestFrames(t *testing.T) {
	b := append(make([]byte, FrameHead), "hello"...)
	PutFrame(b, Stderr, 5)
	if stream, p, err := ParseFrame(b); err != nil || stream != Stderr || string(p) != "hello" {
		t.Errorf("%d %q %v", stream, p, err)
	}
	for _, bad := range [][]byte{b[:7], b[:12], append(bytes.Clone(b), 0), {4, 0, 0, 0, 0, 0, 0, 0}, {1, 1, 0, 0, 0, 0, 0, 0}} {
		if _, _, err := ParseFrame(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

// FuzzRequest is what a shim gets to read.
func FuzzRequest(f *testing.F) {
	c, s, a, r := create(), SignalBody{"x", 9, true}, AttachBody{"x", 7, 1, []byte("p")}, ResizeBody{"x", 1, 2}
	f.Add(c.Append(AppendHead(nil, Create, false, 1)))
	f.Add(s.Append(AppendHead(nil, Signal, false, 1)))
	f.Add(a.Append(AppendHead(nil, Exec, true, 1)))
	f.Add(r.Append(AppendHead(nil, Resize, false, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if c, err := ParseCreate(p.Body); err == nil {
			again, err := ParseCreate(c.Append(nil))
			if err != nil || !reflect.DeepEqual(normal(again), normal(c)) {
				t.Fatalf("%+v becomes %+v, %v", c, again, err)
			}
		}
		_, _ = ParseSignal(p.Body)
		_, _ = ParseAttach(p.Body)
		_, _ = ParseResize(p.Body)
	})
}

// normal makes no difference between no bytes and none.
func normal(c CreateBody) CreateBody {
	if len(c.Config) == 0 {
		c.Config = nil
	}
	if len(c.Log.Attrs) == 0 {
		c.Log.Attrs = nil
	}
	return c
}

// FuzzReply is what hulld gets to read.
func FuzzReply(f *testing.F) {
	i, e, x := info(), EventBody{Kind: EventExit, Exit: Exit{Code: 1}}, FailBody{ClassState, "no"}
	f.Add(i.Append(AppendHead(nil, OK, false, 1)))
	f.Add(e.Append(AppendHead(nil, Event, false, 0)))
	f.Add(x.Append(AppendHead(nil, Fail, false, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := ParseFrame(b); err == nil && len(b) > FrameHead+MaxFrame {
			t.Fatal("a long frame")
		}
		p, err := Parse(b)
		if err != nil {
			return
		}
		if i, err := ParseInfo(p.Body); err == nil && len(i.Execs) > MaxList {
			t.Fatal("a long list")
		}
		_, _ = ParseEvent(p.Body)
		_, _ = ParseFail(p.Body)
		if n := ParseNumbers(p.Body); len(n) > len(p.Body) {
			t.Fatal("more numbers than bytes")
		}
	})
}
