package shim

import (
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// crun does not know hybrid hosts, unless it does not see the v2 hierarchy: each runtime runs where
// that is not mounted.
func runtimes(t *testing.T) map[string][]string {
	list := map[string][]string{"keel": nil}
	for _, name := range []string{"runc", "crun"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		list[name] = []string{"/usr/bin/unshare", "-m", "/bin/sh", "-c", `umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"`, "sh", "/usr/sbin/" + name}
		if name == "crun" {
			list[name][6] = "/usr/bin/crun"
		}
	}
	return list
}

// TestRootRuntimes: the same life with our own runtime and with others by their command line.
func TestRootRuntimes(t *testing.T) {
	b := newLab(t)
	for name, command := range runtimes(t) {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			if command != nil {
				command = append(command, "--root", b.state+"/"+name)
			}
			id := newID()
			r := b.request(id, spec(id, "sh", "-c", "cat; echo end; sleep 1000"))
			r.Runtime, r.OpenStdin, r.StdinOnce = command, true, true
			s := b.create(r)
			st, err := s.OpenStream(b.ctx(), "", true, true, true, Patient)
			if err != nil {
				t.Fatal(err)
			}
			b.start(s)
			var out strings.Builder
			done := make(chan error, 1)
			go func() { done <- st.Copy(b.ctx(), strings.NewReader("input\n"), &out, nil) }()
			stdout, errs, e := b.exec(s, "x", process("sh", "-c", "cat; echo e >&2; exit 5"), "in")
			if stdout != "in" || errs != "e\n" || e.Code != 5 {
				t.Errorf("exec: %q %q %+v", stdout, errs, e)
			}
			p := process("sh", "-c", "sleep 0.2; stty size")
			p.Terminal, p.ConsoleSize = true, &specs.Box{Height: 24, Width: 80}
			if stdout, _, e := b.exec(s, "t", p, ""); e.Code != 0 || !strings.HasSuffix(stdout, "24 80\r\n") {
				t.Errorf("exec with a terminal: %q %+v", stdout, e)
			}
			if _, _, err := s.Exec(b.ctx(), ExecRequest{ID: "no", Process: []byte(`{"args":["/nosuch"],"cwd":"/"}`)}); err == nil || !strings.Contains(err.Error(), "nosuch") {
				t.Errorf("exec of what is not there: %v", err)
			}
			if err := s.Pause(b.ctx()); err != nil {
				t.Error(err)
			}
			if i, err := s.Info(b.ctx()); err != nil || i.Status != Paused {
				t.Errorf("paused: %+v %v", i, err)
			}
			if err := s.Resume(b.ctx()); err != nil {
				t.Error(err)
			}
			eventually(t, "the processes of the container are init alone", func() bool { // a failed exec is reaped after it is told of
				pids, err := s.Processes(b.ctx())
				return err == nil && len(pids) == 1 && pids[0] == s.Pid()
			})
			if st, err := s.Stats(b.ctx()); err != nil || !strings.Contains(string(st), `"usage"`) {
				t.Errorf("stats %s %v", st, err)
			}
			if err := s.Update(b.ctx(), []byte(`{"pids":{"limit":77}}`)); err != nil {
				t.Error(err)
			}
			if err := s.Signal(b.ctx(), "", unix.SIGKILL, false); err != nil {
				t.Error(err)
			}
			if e := b.wait(s, ""); e.Code != 137 || e.Signal != 9 {
				t.Errorf("exit %+v", e)
			}
			if err := <-done; err != nil || out.String() != "input\nend\n" {
				t.Errorf("output %q %v", out.String(), err)
			}
			<-s.Done()
			b.gone(id)
			if i, err := exec.Command("/bin/sh", "-c", "ls -d "+b.state+"/"+name+"/"+id).CombinedOutput(); err == nil {
				t.Errorf("state is left: %s", i)
			}
		})
	}
}
