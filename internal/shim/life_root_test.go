package shim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A container's life: created, attached to, started, an exec in it, signalled, its end told and
// recorded, nothing left.
func TestRootLife(t *testing.T) {
	b := newLab(t)
	id := newID()
	r := b.request(id, spec(id, "sh", "-c", "echo out; echo err >&2; read x; echo got $x; exit 7"))
	r.OpenStdin, r.StdinOnce = true, true
	s := b.create(r)
	if i, err := s.Info(b.ctx()); err != nil || i.Status != Created || i.Pid != s.Pid() {
		t.Fatalf("info %+v, %v", i, err)
	}
	var out, errs bytes.Buffer
	attached := make(chan error)
	st, err := s.OpenStream(b.ctx(), "", true, true, true, Patient)
	if err != nil {
		t.Fatal(err)
	}
	go func() { attached <- st.Copy(b.ctx(), strings.NewReader("hello\n"), &out, &errs) }()
	b.start(s)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	if out.String() != "out\ngot hello\n" || errs.String() != "err\n" {
		t.Errorf("output %q, %q", &out, &errs)
	}
	e := b.wait(s, "")
	if e.Code != 7 || e.Signal != 0 || e.OOM || time.Since(e.At) > time.Minute {
		t.Errorf("exit %+v", e)
	}
	select {
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the shim does not end")
	}
	if got := readExit(filepath.Join(b.state, "containers", id)); got == nil || got.Code != 7 || !got.At.Equal(e.At) {
		t.Errorf("exit record %+v, want %+v", got, e)
	}
	b.gone(id)
	log, err := os.ReadFile(filepath.Join(b.logs, id+"-json.log"))
	if err != nil || strings.Count(string(log), "\n") != 3 || !strings.Contains(string(log), `{"log":"got hello\n","stream":"stdout","time":"`) {
		t.Errorf("log %q, %v", log, err)
	}
	if err := b.l.Forget(id); err != nil {
		t.Error(err)
	}
}

func TestRootExecAndKill(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	b.start(s)
	out, errs, e := b.exec(s, "one", process("sh", "-c", "cat; echo $HOME >&2; exit 3"), "some input")
	if out != "some input" || errs != "/root\n" || e.Code != 3 {
		t.Errorf("exec: %q %q %+v", out, errs, e)
	}
	pids, err := s.Processes(b.ctx())
	if err != nil || len(pids) != 1 || pids[0] != s.Pid() {
		t.Errorf("processes %v, %v; init is %d", pids, err, s.Pid())
	}
	if st, err := s.Stats(b.ctx()); err != nil || !bytes.Contains(st, []byte(`"pids"`)) {
		t.Errorf("stats %s, %v", st, err)
	}
	if err := s.Signal(b.ctx(), "", unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if e := b.wait(s, ""); e.Code != 137 || e.Signal != 9 {
		t.Errorf("exit %+v", e)
	}
	<-s.Done()
	b.gone(id)
}
