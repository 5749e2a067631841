package logfile

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fixed makes a writer's clock stand still.
func fixed(w *Writer) {
	w.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 600700800, time.UTC) }
}

// The bytes are those that dockerd 20.10 writes.
func TestJSONFileFormat(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(Config{Driver: DriverJSONFile, Dir: dir, Name: "f", Attrs: []byte(`{"tag":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	fixed(w)
	out, errs := w.Stream(1), w.Stream(2)
	out.Write([]byte("plain\n<a> & \"b\" \\ \t\r\x01 é \u2028 \xff\n"))
	errs.Write([]byte("no newline"))
	errs.Close()
	out.Close()
	w.Close()
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"log":"plain\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.6007008Z"}
{"log":"\u003ca\u003e \u0026 \"b\" \\ \u0009\r\u0001 é \u2028 \ufffd\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.6007008Z"}
{"log":"no newline","stream":"stderr","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.6007008Z"}
`
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// kept is a driver that keeps entries.
type kept struct{ list []Entry }

func (k *kept) add(e *Entry) {
	c := *e
	c.Line = bytes.Clone(e.Line)
	k.list = append(k.list, c)
}
func (k *kept) flush() {}
func (k *kept) close() {}

// However the bytes come in, the same entries come out: dockerd's copier's.
func TestPieces(t *testing.T) {
	text := "a\n\n" + strings.Repeat("x", MaxLine) + "\n" + strings.Repeat("y", MaxLine+1) + "\n" + strings.Repeat("z", 3*MaxLine) + "\nlast"
	want := []string{"1 0 false", "0 0 false", "16384 1 false", "0 2 true", "16384 1 false", "1 2 true", "16384 1 false", "16384 2 false", "16384 3 false", "0 4 true", "4 1 false"}
	for _, size := range []int{1, 7, 1000, 16383, 16384, 16385, 32768, len(text)} {
		k := &kept{}
		s := (&Writer{drv: k, now: time.Now}).Stream(1)
		for b := []byte(text); len(b) > 0; {
			n := min(size, len(b))
			s.Write(b[:n])
			b = b[n:]
		}
		s.Close()
		var got []string
		for _, e := range k.list {
			got = append(got, strings.Join([]string{strconv.Itoa(len(e.Line)), strconv.Itoa(e.Partial.Ordinal), strconv.FormatBool(e.Partial.Last)}, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d bytes at a time: %q", size, got)
		}
	}
}

// A driver that stands still loses what does not fit, says how much, and delays nobody.
func TestBufferFull(t *testing.T) {
	hold := make(chan struct{})
	var w Writer
	b := newBuffer(&held{hold: hold}, 1000, w.fail)
	w.drv, w.now = b, time.Now
	s := w.Stream(1)
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	begin := time.Now()
	for range 100 {
		s.Write(line)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("it took %v", d)
	}
	lost, err := w.Lost()
	if lost < 85 || lost > 95 || err != errFull {
		t.Errorf("lost %d, %v", lost, err)
	}
	close(hold)
	w.Close()
}

type held struct {
	kept
	hold chan struct{}
}

func (h *held) add(e *Entry) { <-h.hold }

func TestSyslog(t *testing.T) {
	for _, network := range []string{"unixgram", "unix", "udp", "tcp"} {
		for format, want := range map[string]string{
			"":             "<30>Jan  2 03:04:05 tag[PID]: hello\n",
			"rfc3164":      "<30>Jan  2 03:04:05 host tag[PID]: hello\n",
			"rfc5424":      "<30>1 2026-01-02T03:04:05Z host tag PID tag - hello\n",
			"rfc5424micro": "<30>1 2026-01-02T03:04:05.600700Z host tag PID tag - hello\n",
		} {
			address, receive := listen(t, network)
			w, err := Open(Config{Driver: DriverSyslog, Syslog: Syslog{Network: network, Address: address, Priority: 30, Format: format, Tag: "tag", Hostname: "host"}})
			if err != nil {
				t.Fatal(err)
			}
			fixed(w)
			out, errs := w.Stream(1), w.Stream(2)
			out.Write([]byte("hello\n"))
			w.drv.flush()
			want = strings.ReplaceAll(want, "PID", pid())
			if got := receive(); got != want {
				t.Errorf("%s %s: %q, want %q", network, format, got, want)
			}
			errs.Write([]byte("hello\n"))
			if got := receive(); got != strings.Replace(want, "<30>", "<27>", 1) {
				t.Errorf("%s %s: standard error: %q", network, format, got)
			}
			w.Close()
			if n, err := w.Lost(); n != 0 {
				t.Errorf("lost %d: %v", n, err)
			}
		}
	}
	if _, err := Open(Config{Driver: DriverSyslog, Syslog: Syslog{Network: "tcp", Address: "127.0.0.1:1"}}); err == nil {
		t.Error("nobody listens there")
	}
}

func pid() string { return strconv.Itoa(os.Getpid()) }

// listen is a syslog daemon that gives one message at a time.
func listen(t *testing.T, network string) (address string, receive func() string) {
	buf := make([]byte, 65536)
	where := "127.0.0.1:0"
	if strings.HasPrefix(network, "unix") {
		where = filepath.Join(t.TempDir(), "log")
	}
	if network == "udp" || network == "unixgram" {
		p, err := net.ListenPacket(network, where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p.LocalAddr().String(), func() string {
			p.SetDeadline(time.Now().Add(5 * time.Second))
			n, _, err := p.ReadFrom(buf)
			if err != nil {
				t.Error(err)
			}
			return string(buf[:n])
		}
	}
	l, err := net.Listen(network, where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var conn net.Conn
	return l.Addr().String(), func() string {
		if conn == nil {
			if conn, err = l.Accept(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Error(err)
		}
		return string(buf[:n])
	}
}

func TestJournald(t *testing.T) {
	address, receive := listen(t, "unixgram")
	d, err := openJournal(address, Config{Fields: []string{"CONTAINER_NAME=web", "LABEL=a\nb"}, Buffer: 1}, func(uint64, error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.add(&Entry{Time: time.Unix(1, 0), Stream: 2, Line: []byte("two\nlines"), Partial: Partial{ID: 10, Ordinal: 1}})
	want := "CONTAINER_NAME=web\nLABEL\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\nPRIORITY=3\nSYSLOG_TIMESTAMP=1970-01-01T00:00:01Z\n" +
		"CONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_PARTIAL_ID=a\nCONTAINER_PARTIAL_ORDINAL=1\nCONTAINER_PARTIAL_LAST=false\nMESSAGE\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\n"
	if got := receive(); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if _, err := openJournal(address, Config{Fields: []string{"lower=1"}}, nil); err == nil {
		t.Error("a field of small letters")
	}
}

func TestParseAddress(t *testing.T) {
	for s, ok := range map[string]bool{"1.2.3.4:5": true, "[::1]:514": true, "[2001:db8::8:800:200c:417a]:1": true, "[1:2:3:4:5:6:7:8]:1": true, "1.2.3:4": false, "1.2.3.4": false,
		"1.2.3.04:1": false, "[::1:514": false, "[1::2::3]:1": false, "[1:2:3:4:5:6:7:8:9]:1": false, "[::g]:1": false, "x:1": false, "1.2.3.4:70000": false} {
		if _, _, err := parseAddress(s); (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// What does not fit on the disk is lost as a whole, counted, and no half entry is left.
func TestWriteFails(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs a link to /dev/full that only root may follow here")
	}
	dir := t.TempDir()
	w, err := Open(Config{Driver: DriverLocal, Dir: dir, Name: "f"})
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.drv.(*local).fd = int(full.Fd())
	w.Stream(1).Write([]byte("a\nb\n"))
	if n, err := w.Lost(); n != 2 || err == nil {
		t.Errorf("lost %d, %v", n, err)
	}
}

func FuzzParseLocal(f *testing.F) {
	f.Add(AppendLocal(nil, &Entry{Time: time.Unix(1, 2), Stream: 1, Line: []byte("x")}))
	f.Add(AppendLocal(nil, &Entry{Time: time.Unix(1, 2), Stream: 2, Line: []byte("x"), Partial: Partial{ID: 7, Ordinal: 3, Last: true}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n, err := ParseLocal(b)
		if err != nil || n == 0 {
			return
		}
		if n > len(b) || len(e.Line) > n {
			t.Fatalf("%d of %d bytes, a line of %d", n, len(b), len(e.Line))
		}
		again, m, err := ParseLocal(AppendLocal(nil, &e))
		if err != nil || m != n || !again.Time.Equal(e.Time) || !bytes.Equal(again.Line, e.Line) || again.Stream != e.Stream {
			t.Fatalf("%+v becomes %+v, %v", e, again, err)
		}
	})
}
