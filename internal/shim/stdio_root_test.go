package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/logfile/reader"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Seven clients of eight read, and get every byte; the eighth does not, is cut off with a
// notice, and stops neither the container nor the log.
func TestRootSlowClient(t *testing.T) {
	b := newLab(t)
	id := newID()
	r := b.request(id, spec(id, "seq", "1", "300000"))
	s := b.create(r)
	want := new(bytes.Buffer)
	for i := range 300000 {
		want.WriteString(strconv.Itoa(i + 1))
		want.WriteByte('\n')
	}
	var wg sync.WaitGroup
	for i := range 7 {
		patience := Patient
		if i%2 == 0 {
			patience = 5 * time.Second
		}
		st, err := s.OpenStream(b.ctx(), "", false, true, true, patience)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			var out bytes.Buffer
			if err := st.Copy(b.ctx(), nil, &out, nil); err != nil || !bytes.Equal(out.Bytes(), want.Bytes()) {
				t.Errorf("client %d: %d bytes of %d, %v", i, out.Len(), want.Len(), err)
			}
			st.Close()
		})
	}
	slow, err := s.OpenStream(b.ctx(), "", false, true, true, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.start(s)
	if e := b.wait(s, ""); e.Code != 0 {
		t.Errorf("exit %+v", e)
	}
	wg.Wait()
	var out bytes.Buffer
	if err := slow.Copy(b.ctx(), nil, &out, nil); !errors.Is(err, ErrCutOff) {
		t.Errorf("the slow client: %v", err)
	}
	if out.Len() < 64<<10 || !bytes.HasPrefix(want.Bytes(), out.Bytes()) {
		t.Errorf("the slow client has %d bytes, which must be the first of the output", out.Len())
	}
	if n := countLines(t, filepath.Join(b.logs, id+"-json.log")); n != 300000 {
		t.Errorf("the log has %d lines", n)
	}
}

func countLines(t *testing.T, name string) int {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(all, []byte("\n"))
}

// A patient client that does not read stops the process, not the shim; when it goes on nothing is
// missing. One whose patience is finite is cut off.
func TestRootPatience(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	b.start(s)
	raw, _ := json.Marshal(process("seq", "1", "400000"))
	_, st, err := s.Exec(b.ctx(), ExecRequest{ID: "patient", Process: raw, Stdout: true, Patience: Patient})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, impatient, err := s.Exec(b.ctx(), ExecRequest{ID: "impatient", Process: raw, Stdout: true, Patience: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer impatient.Close()
	if e := b.wait(s, "impatient"); e.Code != 0 {
		t.Errorf("impatient: %+v", e)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if e, err := s.Wait(ctx, "patient"); err == nil {
		t.Errorf("it ended: %+v", e)
	}
	if _, err := s.Info(b.ctx()); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := st.Copy(b.ctx(), nil, &out, nil); err != nil || !strings.HasSuffix(out.String(), "\n399999\n400000\n") {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	if err := impatient.Copy(b.ctx(), nil, io.Discard, nil); !errors.Is(err, ErrCutOff) {
		t.Errorf("impatient: %v", err)
	}
}

func TestRootTerminal(t *testing.T) {
	b := newLab(t)
	id := newID()
	sp := spec(id, "sh", "-c", "stty size; read x; echo got $x; stty size; trap 'echo int; exit 4' INT; while true; do sleep 0.05; done")
	sp.Process.Terminal, sp.Process.ConsoleSize = true, &specs.Box{Width: 80, Height: 24}
	r := b.request(id, sp)
	r.OpenStdin = true
	s := b.create(r)
	st, err := s.OpenStream(b.ctx(), "", true, true, true, Patient)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var mu sync.Mutex
	var out strings.Builder
	done := make(chan error, 1)
	go func() { done <- st.Copy(b.ctx(), nil, &lockedWriter{&mu, &out}, nil) }()
	b.start(s)
	see := func(text string) {
		t.Helper()
		eventually(t, text, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(out.String(), text)
		})
	}
	see("24 80\r\n")
	if err := s.Resize(b.ctx(), "", 132, 43); err != nil {
		t.Error(err)
	}
	if _, err := st.Write([]byte("line\n")); err != nil {
		t.Error(err)
	}
	see("got line\r\n43 132\r\n")
	st.Write([]byte{3}) // ^C
	see("int\r\n")
	if e := b.wait(s, ""); e.Code != 4 {
		t.Errorf("exit %+v", e)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Standard input stays open for other clients, or ends with the first that gave some; all that
// was given arrives.
func TestRootStdin(t *testing.T) {
	b := newLab(t)
	for _, once := range []bool{false, true} {
		id := newID()
		r := b.request(id, spec(id, "wc", "-c"))
		r.OpenStdin, r.StdinOnce = true, once
		s := b.create(r)
		b.start(s)
		var out bytes.Buffer
		reader, err := s.OpenStream(b.ctx(), "", false, true, true, Patient)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- reader.Copy(b.ctx(), nil, &out, nil) }()
		st, err := s.OpenStream(b.ctx(), "", true, false, false, Patient)
		if err != nil {
			t.Fatal(err)
		}
		big := make([]byte, 3<<20)
		if _, err := st.Write(big); err != nil {
			t.Fatal(err)
		}
		st.Close() // at once, with input in its socket
		want := len(big)
		if !once {
			other, err := s.OpenStream(b.ctx(), "", true, false, false, Patient)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Write([]byte("more")); err != nil {
				t.Error(err)
			}
			want += 4
			other.Close()
			time.Sleep(100 * time.Millisecond)
			if err := s.CloseStdin(b.ctx(), ""); err != nil {
				t.Error(err)
			}
		}
		if e := b.wait(s, ""); e.Code != 0 {
			t.Errorf("once %t: %+v", once, e)
		}
		if err := <-done; err != nil || strings.TrimSpace(out.String()) != strconv.Itoa(want) {
			t.Errorf("once %t: %q %v, want %d", once, &out, err, want)
		}
	}
}

// A process that leaves another one behind with its output open ends after two seconds, as with
// dockerd.
func TestRootOutputLeftOpen(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	b.start(s)
	begin := time.Now()
	out, _, e := b.exec(s, "x", process("sh", "-c", "sleep 1000 & echo left"), "")
	if d := time.Since(begin); out != "left\n" || e.Code != 0 || d < drain || d > 2*drain {
		t.Errorf("%q %+v after %v", out, e, d)
	}
}

const drain = 2 * time.Second

// Sixty-four exec processes at once, all with their own output and status.
func TestRootManyExecs(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	b.start(s)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			n := strconv.Itoa(i)
			raw, _ := json.Marshal(process("sh", "-c", "cat; exit "+n))
			_, st, err := s.Exec(b.ctx(), ExecRequest{ID: "x" + n, Process: raw, Stdin: true, Stdout: true, Stderr: true, Patience: Patient})
			if err != nil {
				t.Error(err)
				return
			}
			defer st.Close()
			var out bytes.Buffer
			if err := st.Copy(b.ctx(), strings.NewReader("input "+n), &out, nil); err != nil || out.String() != "input "+n {
				t.Errorf("exec %s: %q %v", n, &out, err)
			}
			e, err := s.Wait(b.ctx(), "x"+n)
			if err != nil || e.Code != i {
				t.Errorf("exec %s: %+v %v", n, e, err)
			}
		})
	}
	wg.Wait()
	if i, err := s.Info(b.ctx()); err != nil || len(i.Execs) != 64 || i.Execs[0].Exit == nil {
		t.Errorf("%d execs, %v", len(i.Execs), err)
	}
	if _, err := s.Wait(b.ctx(), "nosuch"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Signal(b.ctx(), "nosuch", unix.SIGTERM, false); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Start(b.ctx()); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

// A follower of a log that a container writes at some MB/s, while it is rotated and compressed,
// gets every line once.
func TestRootLogRotation(t *testing.T) {
	b := newLab(t)
	for _, driver := range []string{logfile.DriverLocal, logfile.DriverJSONFile} {
		id := newID()
		const lines = 60_000
		r := b.request(id, spec(id, "sh", "-c", "i=0; while [ $i -lt 60 ]; do seq $((i*1000+1)) $((i*1000+1000)) | sed 's/$/ 0123456789012345678901234567890123456789/'; i=$((i+1)); sleep 0.02; done"))
		os.Symlink("busybox", filepath.Join(b.root, "bin/sed"))
		r.Log = logfile.Config{Driver: driver, Dir: filepath.Join(b.logs, driver), Name: "log", MaxSize: 200_000, MaxFiles: 60, Compress: true}
		if err := os.Mkdir(r.Log.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s := b.create(r)
		ended := make(chan struct{})
		next := 1
		done := make(chan error, 1)
		go func() {
			done <- reader.Read(b.ctx(), r.Log, reader.Query{Tail: -1, Follow: true, Ended: ended}, func(e *reader.Entry) error {
				if want := strconv.Itoa(next) + " 0123456789012345678901234567890123456789\n"; string(e.Line) != want {
					return errors.New("got " + string(e.Line) + "want " + want)
				}
				next++
				return nil
			})
		}()
		b.start(s)
		stop := make(chan struct{})
		compressed := make(chan struct{})
		go func() {
			defer close(compressed)
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					if err := reader.Compress(context.Background(), r.Log); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		if e := b.wait(s, ""); e.Code != 0 {
			t.Errorf("%s: exit %+v", driver, e)
		}
		close(ended)
		if err := <-done; err != nil || next != lines+1 {
			t.Errorf("%s: %d lines of %d, %v", driver, next-1, lines, err)
		}
		close(stop)
		<-compressed
		if m, _ := filepath.Glob(r.Log.Dir + "/log.*z*"); len(m) < 5 {
			t.Errorf("%s: compressed: %v", driver, m)
		}
	}
}

// A log that cannot be written does not stop the container; the loss is counted.
func TestRootLogDiskFull(t *testing.T) {
	b := newLab(t)
	id := newID()
	r := b.request(id, spec(id, "sh", "-c", "seq 1 1000; exit 3"))
	os.Symlink("/dev/full", filepath.Join(b.logs, "full"))
	r.Log = logfile.Config{Driver: logfile.DriverJSONFile, Dir: b.logs, Name: "full"}
	if _, err := b.l.Create(b.ctx(), r); err == nil {
		t.Fatal("a log that is a link to a device")
	}
	small := filepath.Join(b.logs, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	r.Log.Dir, r.Log.Name = small, "log"
	r.Root = b.tree()
	s := b.create(r)
	b.start(s)
	if e := b.wait(s, ""); e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
}

// No process of a container has a descriptor that it was not given.
func TestRootNoOtherDescriptors(t *testing.T) {
	b := newLab(t)
	os.Symlink("busybox", filepath.Join(b.root, "bin/ls"))
	const want = "0\n1\n2\n3\n" // 3 is the directory that ls reads
	for _, userns := range []bool{false, true} {
		id := newID()
		sp := spec(id, "sh", "-c", "ls /proc/self/fd; read x")
		if userns {
			withUserNS(sp)
		}
		r := b.request(id, sp)
		r.OpenStdin = true
		s := b.create(r)
		st, err := s.OpenStream(b.ctx(), "", true, true, true, Patient)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		done := make(chan error, 1)
		go func() { done <- st.Copy(b.ctx(), nil, &out, &out) }()
		b.start(s)
		if got, errs, e := b.exec(s, "x", process("ls", "/proc/self/fd"), ""); got != want || e.Code != 0 {
			t.Errorf("exec: %q %q %+v", got, errs, e)
		}
		if got, errs, _ := b.exec(s, "y", process("sh", "-c", "echo x > /dev/stdout && echo y > /dev/stderr && cat /dev/stdin"), "in"); got != "x\nin" || errs != "y\n" {
			t.Errorf("opened by name: %q %q", got, errs)
		}
		if _, err := st.Write([]byte("\n")); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil || out.String() != want {
			t.Errorf("init: %q %v", &out, err)
		}
		st.Close()
	}
}
