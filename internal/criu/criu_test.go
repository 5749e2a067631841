package criu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// encoded returns a message of testdata/messages.txt, which another implementation has made.
func encoded(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, digits, _ := strings.Cut(strings.TrimSpace(line), " "); n == name {
			b, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("testdata/messages.txt has no %q", name)
	return nil
}

// allOptions has every field set.
func allOptions() *Options {
	return &Options{
		ImagesDir: 7, WorkDir: 300, Pid: 4000000, Root: "/r", LogFile: "dump.log", LogLevel: 4,
		LeaveRunning: true, TCPEstablished: true, TCPSkipInFlight: true, LinkRemap: true, ExtUnixSk: true, ShellJob: true, FileLocks: true,
		AutoDedup: true, LazyPages: true, TrackMem: true, EvasiveDevices: true, OrphanPtsMaster: true, RestoreAsSibling: true, NotifyScripts: true,
		ParentImages: "../p", FreezeCgroup: "/sys/fs/cgroup/freezer/c", ConfigFile: "/etc/criu/runc.conf", PageServer: &PageServer{"::1", 65535},
		ExternalMounts: []ExternalMount{{"/a", "/b"}, {"/é", ""}}, External: []string{"net[5]:extRootNetNS"},
		InheritFDs: []InheritFD{{"pipe:[1]", 0}, {"extRootNetNS", 4}}, JoinNamespaces: []JoinNamespace{{"ipc", "/proc/1/ns/ipc"}},
		EmptyNS: 0x40000000, CgroupMode: CgroupStrict, CgroupRoots: []CgroupRoot{{"memory", "/x"}, {"", "/y"}},
		LSMProfile: "apparmor:x", LSMMountContext: "ctx",
	}
}

func TestRequests(t *testing.T) {
	o := allOptions()
	for v, i := reflect.ValueOf(*o), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the example leaves out %s", v.Type().Field(i).Name)
		}
	}
	for name, got := range map[string][]byte{
		"dump":      request(Dump, o, Features{}, false),
		"version?":  request(Version, nil, Features{}, true),
		"features?": request(FeatureCheck, nil, Features{MemTrack: true, LazyPages: true}, false),
		"yes":       answer(true),
		"no":        answer(false),
	} {
		if want := encoded(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded as\n%x, want\n%x", name, got, want)
		}
	}
}

func TestReplies(t *testing.T) {
	for name, want := range map[string]Reply{
		"restored": {Kind: Restore, Success: true, Pid: 1234},
		"failed":   {Kind: Restore, Pid: -1, Errno: -17, Message: "Error (x)\n"},
		"notice":   {Kind: notify, Success: true, Notice: &Notice{"post-restore", 99, -1}},
		"version":  {Kind: Version, Success: true, Version: Release{3, 17, 1}},
		"features": {Kind: FeatureCheck, Success: true, Features: Features{LazyPages: true}},
	} {
		b := encoded(t, name)
		got, err := parseReply(b)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
		for n := range b { // without its end: never more than the prefix says
			if r, err := parseReply(b[:n]); err == nil && n < 4 {
				t.Errorf("%s cut to %d bytes: %+v", name, n, r)
			}
		}
	}
	for _, bad := range []string{"", "08", "0801", "1001", "0801100f0f", "08011001ffffffffffffffffffff01", "080110012aff", "080110010300", "0801100100", "08011001ffffffffff0f00"} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := parseReply(b); err == nil {
			t.Errorf("%s is read as %+v", bad, r)
		}
	}
	// Fields of a later criu are passed over, of each wire type.
	if r, err := parseReply([]byte{8, 1, 16, 1, 0xa0, 6, 5, 0xa9, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0xa5, 6, 1, 2, 3, 4, 0xa2, 6, 1, 'x'}); err != nil || r.Kind != Dump || !r.Success {
		t.Errorf("with unknown fields: %+v, %v", r, err)
	}
}

func FuzzReply(f *testing.F) {
	for _, name := range []string{"restored", "failed", "notice", "version", "features", "dump"} {
		f.Add(encoded(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReply(b)
		if err == nil && len(r.Message) > len(b) {
			t.Errorf("%d bytes give a message of %d", len(b), len(r.Message))
		}
	})
}

// peer is criu's end of a conversation with a script: what it sends when it gets something.
func peer(t *testing.T, serve func(receive func() []byte, send func([]byte, ...int))) *Conn {
	t.Helper()
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(s[1])
		serve(func() []byte {
			b := make([]byte, 4096)
			n, err := unix.Read(s[1], b)
			if err != nil {
				t.Errorf("criu's end: %v", err)
			}
			return b[:n]
		}, func(b []byte, fds ...int) {
			var oob []byte
			if len(fds) > 0 {
				oob = unix.UnixRights(fds...)
			}
			if err := unix.Sendmsg(s[1], b, oob, nil, 0); err != nil {
				t.Errorf("criu's end: %v", err)
			}
		})
	}()
	c := NewConn(s[0])
	t.Cleanup(func() { c.Close(); <-done })
	return c
}

func TestConversation(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := peer(t, func(receive func() []byte, send func([]byte, ...int)) {
		if got := receive(); !bytes.Equal(got, encoded(t, "version?")) {
			t.Errorf("first request %x", got)
		}
		send(encoded(t, "version"))
		receive()
		send(encoded(t, "notice"), int(w.Fd()))
		if got := receive(); !bytes.Equal(got, encoded(t, "yes")) {
			t.Errorf("answer %x", got)
		}
		send(encoded(t, "restored"))
	})
	if v, err := c.Version(); err != nil || v != (Release{3, 17, 1}) || v.String() != "3.17.1" || !v.AtLeast(3, 17) || v.AtLeast(3, 18) || v.AtLeast(4, 0) || !v.AtLeast(2, 30) {
		t.Errorf("version %v, %v", v, err)
	}
	reply, err := c.Do(Restore, &Options{}, func(n Notice) error {
		if n.Script != "post-restore" || n.Pid != 99 || n.FD < 0 {
			t.Errorf("notice %+v", n)
		}
		_, err := unix.Write(n.FD, []byte("x"))
		return err
	})
	if err != nil || reply.Pid != 1234 {
		t.Errorf("restore: %+v, %v", reply, err)
	}
	w.Close()
	if b, err := io.ReadAll(r); string(b) != "x" || err != nil { // ends only when the received descriptor is closed too
		t.Errorf("through the descriptor: %q, %v", b, err)
	}
}

func TestConversationFails(t *testing.T) {
	refused := errors.New("the hook failed")
	for name, c := range map[string]struct {
		serve func(receive func() []byte, send func([]byte, ...int))
		want  string
	}{
		"failure": {func(receive func() []byte, send func([]byte, ...int)) { receive(); send(encoded(t, "failed")) }, "criu failed: type RESTORE errno -17"},
		"end":     {func(receive func() []byte, _ func([]byte, ...int)) { receive() }, io.ErrUnexpectedEOF.Error()},
		"refused": {func(receive func() []byte, send func([]byte, ...int)) {
			receive()
			send(encoded(t, "notice"))
			if got := receive(); !bytes.Equal(got, encoded(t, "no")) {
				t.Errorf("answer to a notification that is refused: %x", got)
			}
			send(encoded(t, "failed"))
		}, refused.Error()},
		"other": {func(receive func() []byte, send func([]byte, ...int)) { receive(); send(encoded(t, "version")) }, "criu answers VERSION to RESTORE"},
		"huge":  {func(receive func() []byte, send func([]byte, ...int)) { receive(); send(make([]byte, maxReply+1)) }, errTruncated.Error()},
		"empty": {func(receive func() []byte, send func([]byte, ...int)) { receive(); send([]byte{8}) }, errTruncated.Error()},
	} {
		conn := peer(t, c.serve)
		_, err := conn.Do(Restore, &Options{}, func(Notice) error { return refused })
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	conn := peer(t, func(receive func() []byte, send func([]byte, ...int)) { receive(); send(encoded(t, "failed")) })
	_, err := conn.Do(Restore, &Options{}, nil)
	if f := (*Failure)(nil); !errors.As(err, &f) || f.Message != "Error (x)?" {
		t.Errorf("criu's message: %+v", f)
	}
}

func TestLogErrors(t *testing.T) {
	dir := t.TempDir()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text := strings.Repeat("(00.0) harmless\n", maxLogTail/10)
	text = "(00.0) Error (criu/early.c:1): out of reach\n" + text
	for i := range 6 {
		text += fmt.Sprintf("(00.%d)  1: Error (criu/x.c:%d): no %s\n", i, i, "\033[2J\r"+strings.Repeat("y", 10))
	}
	text += "(00.9) Error (criu/y.c:9): " + strings.Repeat("z", 1000)
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := LogErrors(int(d.Fd()), "log")
	last := "(criu/y.c:9): " + strings.Repeat("z", 1000)
	want := []string{"(criu/x.c:3): no ?[2J?yyyyyyyyyy", "(criu/x.c:4): no ?[2J?yyyyyyyyyy", "(criu/x.c:5): no ?[2J?yyyyyyyyyy", last[:maxLogLine] + "..."}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := os.Symlink("log", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"none", "link", "fifo", "."} {
		if got := LogErrors(int(d.Fd()), name); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}
