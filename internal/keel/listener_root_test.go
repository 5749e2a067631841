package keel

import (
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agent is a seccomp agent: it takes listeners on a socket and answers their notifications.
// mkdir succeeds without being done; all other calls go on.
type agent struct {
	t      *testing.T
	path   string
	states chan specs.ContainerProcessState
	mu     sync.Mutex
	calls  []int32 // numbers of all calls it was asked about
}

// mkdir is mkdir(2) on amd64; other architectures of ours have mkdirat(2) alone.
const mkdir = 83

// notification and answer are struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

func newAgent(t *testing.T) *agent {
	a := &agent{t: t, path: filepath.Join(t.TempDir(), "agent"), states: make(chan specs.ContainerProcessState, 8)}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go a.serve(c)
		}
	}()
	return a
}

func (a *agent) serve(c *net.UnixConn) {
	defer c.Close()
	b, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(8))
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	var s specs.ContainerProcessState
	if err == nil {
		err = json.Unmarshal(b[:n], &s)
	}
	msgs, e := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || e != nil || len(msgs) != 1 {
		a.t.Errorf("agent: %d bytes, %d messages: %v, %v", n, len(msgs), err, e)
		return
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		a.t.Errorf("agent: descriptors %v, %v", fds, err)
		return
	}
	defer unix.Close(fds[0])
	a.states <- s
	for {
		var q notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q))); errno == unix.EINTR {
			continue
		} else if errno == unix.ENOENT { // the asking process is gone
			if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}, 0); n > 0 {
				return
			}
			continue
		} else if errno != 0 {
			return
		}
		a.mu.Lock()
		a.calls = append(a.calls, q.nr)
		a.mu.Unlock()
		r := answer{id: q.id}
		if q.nr != unix.SYS_MKDIRAT && q.nr != mkdir {
			r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	}
}

func (a *agent) state() specs.ContainerProcessState {
	a.t.Helper()
	select {
	case s := <-a.states:
		return s
	case <-time.After(10 * time.Second):
		a.t.Fatal("no listener came")
		panic("")
	}
}

// asked says whether the agent was asked about a call.
func (a *agent) asked(nr int32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.calls, nr)
}

// notifying is a profile that notifies the agent of calls.
func notifying(a string, calls ...string) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: a, ListenerMetadata: "some metadata",
		Syscalls: []specs.LinuxSyscall{{Names: calls, Action: specs.ActNotify}}}
}

// TestRootSeccompListener: the agent gets the listener of init and of an exec process, and the
// process goes on although the very calls that could hand it over are the agent's to answer.
func TestRootSeccompListener(t *testing.T) {
	a := newAgent(t)
	few := func(a string) *specs.LinuxSeccomp {
		return notifying(a, "mkdir", "mkdirat", "read", "write", "sendmsg", "recvmsg", "close", "dup3", "fcntl", "execve", "capset", "prctl", "openat")
	}
	all := func(a string) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActNotify, ListenerPath: a, ListenerMetadata: "some metadata"}
	}
	for nnp, profile := range map[bool]func(string) *specs.LinuxSeccomp{true: few, false: all} {
		b := newBox(t, func(s *specs.Spec) {
			s.Process.NoNewPrivileges = nnp
			s.Annotations = map[string]string{"a": "b"}
			s.Linux.Seccomp = profile(a.path)
		}, "sh", "-c", "mkdir /made && test ! -e /made && sleep 1000")
		b.create("c")
		s := a.state()
		_, pid := b.status("c")
		want := specs.ContainerProcessState{Version: s.Version, Fds: []string{"seccompFd"}, Pid: pid, Metadata: "some metadata",
			State: specs.State{Version: s.Version, ID: "c", Status: "creating", Pid: pid, Bundle: b.bundle, Annotations: map[string]string{"a": "b"}}}
		if s.Version == "" || !reflect.DeepEqual(s, want) {
			t.Errorf("create: state %+v, want %+v", s, want)
		}
		if a.asked(unix.SYS_EXECVE) {
			t.Error("the program was executed before start")
		}
		b.ok("start", "c")
		if !a.asked(unix.SYS_EXECVE) || !a.asked(unix.SYS_READ) {
			t.Error("the agent was not asked about execve and read")
		}
		if got := b.in("mkdir /b && test ! -e /b && echo yes"); got != "yes" {
			t.Errorf("exec: %q", got)
		}
		s = a.state()
		if s.Pid == pid || s.State.Pid != pid || s.State.Status != "running" {
			t.Errorf("exec: state %+v", s)
		}
		b.becomes("c", "running")
		b.ok("delete", "--force", "c")
		b.config(func(s *specs.Spec) {
			s.Process.Args = []string{"/bin/busybox", "sh", "-c", "mkdir /c && test ! -e /c && echo yes"}
		})
		if got := b.ok("run", "-b", b.bundle, "c"); got != "yes\n" {
			t.Errorf("run: %q", got)
		}
		a.state()
		a.mu.Lock()
		a.calls = nil
		a.mu.Unlock()
	}
}

// TestRootSeccompListenerLikeRunc compares what the agent is told with what runc tells it.
func TestRootSeccompListenerLikeRunc(t *testing.T) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("no runc to compare with")
	}
	a := newAgent(t)
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Seccomp = notifying(a.path, "mkdir")
		s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{}
		s.Version = "1.0.2"
	}, "true")
	b.ok("run", "-b", b.bundle, "c")
	ours := a.state()
	if out, err := exec.Command(runc, "--root", b.state+".runc", "run", "-b", b.bundle, "c").CombinedOutput(); err != nil {
		t.Fatalf("runc: %v: %s", err, out)
	}
	theirs := a.state()
	for _, s := range []*specs.ContainerProcessState{&ours, &theirs} {
		if s.Pid == 0 || s.Pid != s.State.Pid {
			t.Errorf("pids %d and %d", s.Pid, s.State.Pid)
		}
		s.Pid, s.State.Pid, s.Version, s.State.Version = 0, 0, "", "" // the versions are each runtime's own
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("keel: %+v\nrunc: %+v", ours, theirs)
	}
}

// TestRootSeccompListenerIsSent: without CAP_SYS_PTRACE, as an ordinary user, the listener comes
// by way of the child, in line behind the terminal.
func TestRootSeccompListenerIsSent(t *testing.T) {
	a := newAgent(t)
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Seccomp = notifying(a.path, "mkdir", "mkdirat", "read", "write", "execve")
	},
		"sh", "-c", "mkdir /c && test ! -e /c && echo yes")
	if got := b.onHost(`setpriv --bounding-set=-sys_ptrace $KEEL run -b "$BUNDLE" c`); got != "yes" {
		t.Errorf("run: %q", got)
	}
	a.state()
	b.config(func(s *specs.Spec) { s.Process.Terminal = true })
	if got := b.onHost(`setpriv --bounding-set=-sys_ptrace script -qec "$KEEL run -b '$BUNDLE' c" /dev/null </dev/null`); !strings.Contains(got, "yes") {
		t.Errorf("run with a terminal: %q", got)
	}
	a.state()
}

// TestRootSeccompListenerFails: without an agent, and with a profile that leaves no way, there is
// a sentence and no container.
func TestRootSeccompListenerFails(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { s.Linux.Seccomp = notifying("/nonexistent/agent", "mkdir") }, "true")
	b.refused(1, "keel: hand over the seccomp listener to linux.seccomp.listenerPath: connect to the socket /nonexistent/agent: no such file", "create", "-b", b.bundle, "c")
	a := newAgent(t)
	for _, act := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKillProcess} {
		b.config(func(s *specs.Spec) {
			s.Linux.Seccomp = notifying(a.path, "mkdir")
			s.Linux.Seccomp.Syscalls = append(s.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"read"}, Action: act})
		})
		for _, verb := range []string{"create", "run"} {
			_, errs, code := b.run(verb, "-b", b.bundle, "c")
			if code == 128+int(unix.SIGSYS) {
				continue // killed after the listener was taken, as a program would be
			}
			if code == 0 && verb == "run" || code != 0 && !strings.Contains(errs, "must not refuse read") && !strings.Contains(errs, "killed by signal 31 (SIGSYS)") {
				t.Errorf("%s, read %s: status %d, %q", verb, act, code, errs)
			}
			b.run("delete", "--force", "c")
		}
	}
	b.config(func(s *specs.Spec) {
		s.Linux.Seccomp = notifying("", "mkdir")
		s.Linux.Seccomp.ListenerMetadata = ""
	})
	b.refused(1, "linux.seccomp.listenerPath: missing", "create", "-b", b.bundle, "c")
	if got := strings.TrimSpace(b.ok("list", "-q")); got != "" {
		t.Errorf("left: %q", got)
	}
}
