package shim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/shim/wire"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// events collects what a shim tells.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) add(x Event) {
	e.mu.Lock()
	e.list = append(e.list, x)
	e.mu.Unlock()
}

func (e *events) kinds() (out []EventKind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.list {
		out = append(out, x.Kind)
	}
	return out
}

func (e *events) has(k EventKind) bool {
	for _, x := range e.kinds() {
		if x == k {
			return true
		}
	}
	return false
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// asClient is the environment variable that makes this test program a client which creates and
// starts a container and then waits to be killed.
const asClient = "HULL_TEST_CLIENT"

func TestClientProcess(t *testing.T) {
	arg := os.Getenv(asClient)
	if arg == "" {
		t.Skip("not a client")
	}
	var r struct {
		Keel, State string
		Request     Request
		RootPath    string
	}
	if err := json.Unmarshal([]byte(arg), &r); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLauncher(r.Keel, r.State)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, r.RootPath, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	r.Request.Root = os.NewFile(uintptr(fd), "root")
	s, err := l.Create(context.Background(), r.Request)
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("started\n")
	select {}
}

// client starts a client process and returns when its container runs.
func (b *lab) client(r Request) *exec.Cmd {
	b.t.Helper()
	r.Root = nil
	keel, _ := builtKeel()
	arg, err := json.Marshal(map[string]any{"Keel": keel, "State": b.state, "Request": r, "RootPath": b.root})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestClientProcess$")
	cmd.Env = append(os.Environ(), asClient+"="+string(arg))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, _ := out.Read(buf)
	if !strings.HasPrefix(string(buf[:n]), "started") {
		b.t.Fatalf("the client says %q", buf[:n])
	}
	return cmd
}

// A client that is killed leaves its container running, with log, exec and exit status for the
// next one.
func TestRootClientKilled(t *testing.T) {
	b := newLab(t)
	id := newID()
	r := b.request(id, spec(id, "sh", "-c", "while sleep 0.05; do echo tick; done & read x < /dev/zero; wait"))
	r.Config = mustJSON(t, spec(id, "sh", "-c", "trap 'exit 9' TERM; while true; do echo tick; sleep 0.05; done"))
	cmd := b.client(r)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	size := func() int64 {
		st, err := os.Stat(filepath.Join(b.logs, id+"-json.log"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	before := size()
	eventually(t, "the log goes on", func() bool { return size() > before+200 })
	s, err := b.l.Connect(b.ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := s.Info(b.ctx()); err != nil || i.Status != Running || i.Started.IsZero() {
		t.Errorf("info %+v %v", i, err)
	}
	if out, _, e := b.exec(s, "x", process("echo", "hi"), ""); out != "hi\n" || e.Code != 0 {
		t.Errorf("exec %q %+v", out, e)
	}
	if err := s.Signal(b.ctx(), "", unix.SIGTERM, false); err != nil {
		t.Error(err)
	}
	if e := b.wait(s, ""); e.Code != 9 {
		t.Errorf("exit %+v", e)
	}
	<-s.Done()
	b.gone(id)
}

func mustJSON(t *testing.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A container that ends while nobody is connected leaves its exit record, and nothing else.
func TestRootEndsAlone(t *testing.T) {
	b := newLab(t)
	id := newID()
	cmd := b.client(Request{ID: id, Config: mustJSON(t, spec(id, "sh", "-c", "sleep 0.3; exit 42"))})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var gone *GoneError
	eventually(t, "the shim ends", func() bool {
		s, err := b.l.Connect(b.ctx(), id)
		if s != nil {
			s.Close()
		}
		return errors.As(err, &gone)
	})
	if gone.Exit == nil || gone.Exit.Code != 42 {
		t.Errorf("exit %+v", gone.Exit)
	}
	b.gone(id)
}

// A stopped shim delays nobody but who asks it.
func TestRootShimStopped(t *testing.T) {
	b := newLab(t)
	ids := []string{newID(), newID()}
	var list []*Shim
	for _, id := range ids {
		s := b.create(b.request(id, spec(id, "sleep", "1000")))
		b.start(s)
		list = append(list, s)
	}
	if err := unix.Kill(list[0].shimPid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := list[0].Info(ctx)
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 2*time.Second {
		t.Errorf("stopped: %v after %v", err, time.Since(begin))
	}
	begin = time.Now()
	if _, err := list[1].Info(b.ctx()); err != nil || time.Since(begin) > time.Second {
		t.Errorf("the other: %v after %v", err, time.Since(begin))
	}
	unix.Kill(list[0].shimPid, unix.SIGCONT)
	if _, err := list[0].Info(b.ctx()); err != nil {
		t.Errorf("after SIGCONT: %v", err)
	}
	unix.Kill(list[0].shimPid, unix.SIGSTOP)
	if e, err := b.l.Sweep(b.ctx(), ids[0]); err != nil || e.Code != 137 || e.Err == "" {
		t.Errorf("sweep of a stopped shim: %+v %v", e, err)
	}
	b.gone(ids[0])
}

// What kill -9 of a shim leaves is a container that Sweep ends.
func TestRootShimKilled(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	var ev events
	s.Subscribe(ev.add)
	b.start(s)
	unix.Kill(s.shimPid, unix.SIGKILL)
	<-s.Done()
	if !ev.has(EventLost) || ev.has(EventExit) {
		t.Errorf("events %v", ev.kinds())
	}
	if _, err := s.Info(b.ctx()); !errors.Is(err, ErrGone) {
		t.Errorf("a call: %v", err)
	}
	if _, err := s.Wait(b.ctx(), ""); !errors.Is(err, ErrGone) {
		t.Errorf("wait: %v", err)
	}
	if err := unix.Kill(s.Pid(), 0); err != nil {
		t.Errorf("init is gone too: %v", err)
	}
	e, err := b.l.Sweep(b.ctx(), id)
	if err != nil || e.Code != 137 || e.Err == "" {
		t.Errorf("sweep: %+v %v", e, err)
	}
	b.gone(id)
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(s.PidFD().Fd()), Events: unix.POLLIN}}, 1000); n != 1 {
		t.Error("init runs on")
	}
	if _, err := b.l.Connect(b.ctx(), id); err == nil {
		t.Error("connect to a dead shim")
	}
	again := b.create(b.request(id, spec(id, "true"))) // the id can be used again
	b.start(again)
	if e := b.wait(again, ""); e.Code != 0 {
		t.Errorf("again: %+v", e)
	}
}

// TestRootFailpoints kills the shim wherever it has changed something.
func TestRootFailpoints(t *testing.T) {
	for _, point := range []string{"announced", "created", "started", "executed", "ended", "recorded", "told", "removed"} {
		t.Run(point, func(t *testing.T) {
			b := newLab(t)
			t.Setenv("HULL_FAILPOINT", "shim-"+point)
			id := newID()
			s, err := b.l.Create(b.ctx(), b.request(id, spec(id, "sh", "-c", "sleep 0.3; exit 6")))
			if point == "announced" || point == "created" {
				if err == nil {
					t.Fatal("created")
				}
				b.gone(id)
				if _, err := os.Stat(filepath.Join(b.state, "containers", id)); err == nil {
					t.Error("the directory is left")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Start(b.ctx())
			if point == "executed" {
				_, _, _ = s.Exec(b.ctx(), ExecRequest{ID: "x", Process: mustJSON(t, process("sleep", "1000"))})
			}
			select {
			case <-s.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("the shim lives")
			}
			e, err := b.l.Sweep(b.ctx(), id)
			if err != nil {
				t.Fatal(err)
			}
			want := 137
			if point == "recorded" || point == "told" || point == "removed" {
				want = 6
			}
			if e.Code != want && point != "started" {
				t.Errorf("exit %+v, want %d", e, want)
			}
			b.gone(id)
		})
	}
}

// A container that cannot be made leaves nothing, and the error says why.
func TestRootCreateFails(t *testing.T) {
	b := newLab(t)
	for name, change := range map[string]func(*specs.Spec){
		"executable file not found in $PATH": func(s *specs.Spec) { s.Process.Args = []string{"nosuch"} },
		"no such file or directory":          func(s *specs.Spec) { s.Process.Args = []string{"/nosuch"} },
		"permission denied":                  func(s *specs.Spec) { s.Process.Args = []string{"/etc"} },
		"mounts[7]": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "", Options: []string{"bind"}})
		},
	} {
		id := newID()
		sp := spec(id, "true")
		change(sp)
		_, err := b.l.Create(b.ctx(), b.request(id, sp))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		b.gone(id)
		if _, err := os.Stat(filepath.Join(b.state, "containers", id)); err == nil {
			t.Errorf("%s: the directory is left", name)
		}
	}
}

// Delete ends a container in any state.
func TestRootDelete(t *testing.T) {
	b := newLab(t)
	for _, state := range []Status{Created, Running, Paused} {
		id := newID()
		s := b.create(b.request(id, spec(id, "sleep", "1000")))
		if state != Created {
			b.start(s)
		}
		if state == Paused {
			if err := s.Pause(b.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Delete(b.ctx()); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		<-s.Done()
		b.gone(id)
		if err := s.Delete(b.ctx()); err != nil {
			t.Errorf("%s, again: %v", state, err)
		}
	}
}

// A process that the kernel kills for want of memory is told of, and counted in the exit record.
func TestRootOutOfMemory(t *testing.T) {
	b := newLab(t)
	id := newID()
	sp := spec(id, "sh", "-c", "tail /dev/zero; echo status $?; exec tail /dev/zero")
	limit := int64(20 << 20)
	sp.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	s := b.create(b.request(id, sp))
	var ev events
	s.Subscribe(ev.add)
	b.start(s)
	e := b.wait(s, "")
	if e.Code != 137 || !e.OOM || e.OOMKills != 2 {
		t.Errorf("exit %+v", e)
	}
	if !ev.has(EventOOM) {
		t.Errorf("events %v", ev.kinds())
	}
	<-s.Done()
	if r := readExit(filepath.Join(b.state, "containers", id)); r == nil || !r.OOM || r.OOMKills != 2 {
		t.Errorf("record %+v", r)
	}
}

// The user namespace is the one that is given, and owns the container's others.
func TestRootGivenUserNamespace(t *testing.T) {
	b := newLab(t)
	ns := b.userNS()
	id := newID()
	sp := spec(id, "sh", "-c", "id -u; cat /proc/self/uid_map; sleep 1000")
	withUserNS(sp)
	r := b.request(id, sp)
	r.UserNS = ns
	s := b.create(r)
	b.start(s)
	link := func(pid int, kind string) string {
		l, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if got, want := link(s.Pid(), "user"), "user:["+strconv.FormatUint(inode(t, ns), 10)+"]"; got != want {
		t.Errorf("user namespace %s, want %s", got, want)
	}
	f, err := os.Open("/proc/" + strconv.Itoa(s.Pid()) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	owner, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		t.Fatal(err)
	}
	if inode(t, os.NewFile(uintptr(owner), "owner")) != inode(t, ns) {
		t.Error("the network namespace belongs to another user namespace")
	}
	if out, errs, e := b.exec(s, "x", process("id", "-u"), ""); out != "0\n" || e.Code != 0 {
		t.Errorf("exec: %q %q %+v", out, errs, e)
	}
	eventually(t, "the container's own view in its log", func() bool {
		log, _ := os.ReadFile(filepath.Join(b.logs, id+"-json.log"))
		return strings.Contains(string(log), `"log":"0\n"`) && strings.Contains(string(log), "1000000")
	})
}

// Another user gets no answer, even when he finds the socket, and a signal that asks a shim to end
// is not obeyed.
func TestRootPeers(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	b.start(s)
	dir := filepath.Join(b.state, "containers", id)
	st, err := os.Stat(filepath.Join(dir, socketFile))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", st.Mode(), err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v", st.Mode(), err)
	}
	open := func(name string, mode os.FileMode) {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for d := dir; d != "/dev/shm"; d = filepath.Dir(d) {
		open(d, 0o755)
	}
	open(filepath.Join(dir, socketFile), 0o777)
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestPeerProcess$")
	cmd.Env = append(os.Environ(), asPeer+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		unix.Kill(s.shimPid, sig)
	}
	if _, err := s.Info(b.ctx()); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

const asPeer = "HULL_TEST_PEER"

func TestPeerProcess(t *testing.T) {
	dir := os.Getenv(asPeer)
	if dir == "" {
		t.Skip("not a peer")
	}
	sock, err := dialShim(dir)
	if err != nil {
		t.Fatalf("it cannot even connect: %v", err)
	}
	_ = wire.SendPacket(sock, wire.Hello, 1, nil)
	n, err := unix.Read(sock, make([]byte, 100))
	for err == unix.EAGAIN {
		unix.Poll([]unix.PollFd{{Fd: int32(sock), Events: unix.POLLIN}}, 1000)
		n, err = unix.Read(sock, make([]byte, 100))
	}
	if n > 0 {
		t.Errorf("it got an answer of %d bytes", n)
	}
}

// Exec processes die with init; each end is told, and before init's.
func TestRootOrderOfEvents(t *testing.T) {
	b := newLab(t)
	id := newID()
	s := b.create(b.request(id, spec(id, "sleep", "1000")))
	var ev events
	s.Subscribe(ev.add)
	b.start(s)
	for _, x := range []string{"a", "b"} {
		if _, _, err := s.Exec(b.ctx(), ExecRequest{ID: x, Process: mustJSON(t, process("sleep", "1000"))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Signal(b.ctx(), "", unix.SIGKILL, true); err != nil {
		t.Error(err)
	}
	<-s.Done()
	got := ev.kinds()
	if len(got) != 4 || got[0] != EventExecExit || got[1] != EventExecExit || got[2] != EventExit || got[3] != EventGone {
		t.Errorf("events %v", got)
	}
	if e := b.wait(s, "a"); e.Code != 137 {
		t.Errorf("exec: %+v", e)
	}
	b.gone(id)
}

// Hooks are the shim's children like init; their ends are not mistaken for its.
func TestRootHooks(t *testing.T) {
	b := newLab(t)
	id := newID()
	sp := spec(id, "sh", "-c", "sleep 0.1; exit 5")
	hook := []specs.Hook{{Path: "/bin/true"}}
	sp.Hooks = &specs.Hooks{CreateRuntime: hook, Poststart: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "0.3"}}}, Poststop: hook}
	s := b.create(b.request(id, sp))
	b.start(s) // init ends while the poststart hook runs
	if e := b.wait(s, ""); e.Code != 5 {
		t.Errorf("exit %+v", e)
	}
	<-s.Done()
	b.gone(id)
	id = newID()
	sp = spec(id, "sleep", "1000")
	sp.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
	if _, err := b.l.Create(b.ctx(), b.request(id, sp)); err == nil || !strings.Contains(err.Error(), "createRuntime") {
		t.Errorf("a hook that fails: %v", err)
	}
	b.gone(id)
}

// Nothing of the host's processes is left when containers come and go.
func TestRootNothingLeft(t *testing.T) {
	b := newLab(t)
	count := func() int {
		fds, _ := os.ReadDir("/proc/self/fd")
		return len(fds)
	}
	var before int
	for i := range 30 {
		id := newID()
		r := b.request(id, spec(id, "true"))
		s := b.create(r)
		b.start(s)
		if e := b.wait(s, ""); e.Code != 0 {
			t.Errorf("exit %+v", e)
		}
		<-s.Done()
		s.Close()
		r.Root.Close()
		if err := b.l.Forget(id); err != nil {
			t.Error(err)
		}
		if i == 4 {
			before = count()
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
	if ids, err := b.l.IDs(); err != nil || len(ids) != 0 {
		t.Errorf("%v %v", ids, err)
	}
	var ws unix.WaitStatus
	if pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil); pid > 0 || err != unix.ECHILD {
		t.Errorf("a child is left: %d %v", pid, err)
	}
}
