package keel

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// serviceManager plays the reader of $NOTIFY_SOCKET and answers barriers.
type serviceManager struct {
	conn  *net.UnixConn
	lines chan string
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	addr := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", addr)
	m := &serviceManager{conn: conn, lines: make(chan string, 64)}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf, oob := make([]byte, 4096), make([]byte, 4096)
		for {
			n, o, _, _, err := conn.ReadMsgUnix(buf, oob)
			if err != nil {
				return
			}
			m.lines <- string(buf[:n])
			if msgs, err := unix.ParseSocketControlMessage(oob[:o]); err == nil && len(msgs) == 1 {
				if fds, err := unix.ParseUnixRights(&msgs[0]); err == nil {
					for _, fd := range fds {
						unix.Close(fd)
					}
				}
			}
		}
	}()
	return m
}

// expect wants one message.
func (m *serviceManager) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-m.lines:
		if got != want {
			t.Errorf("the service manager got %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the service manager got nothing, want %q", want)
	}
}

func (m *serviceManager) silent(t *testing.T) {
	t.Helper()
	select {
	case got := <-m.lines:
		t.Errorf("the service manager got %q, want nothing", got)
	case <-time.After(50 * time.Millisecond):
	}
}

// say is a process in the container that sends a datagram to the socket that keel gave it.
func (b *box) say(text string) {
	b.t.Helper()
	_, pid := b.status("c")
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || !strings.Contains(string(env), "NOTIFY_SOCKET=/run/notify/notify.sock\x00") {
		b.t.Fatalf("the environment has no NOTIFY_SOCKET: %q, %v", env, err)
	}
	name := "/proc/" + strconv.Itoa(pid) + "/root/run/notify/notify.sock"
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		b.t.Fatal(err)
	}
}

// background starts keel; the returned function waits for its end.
func (b *box) background(args ...string) (*exec.Cmd, func() int) {
	b.t.Helper()
	cmd := exec.Command(b.keel, append([]string{"--root", b.state}, args...)...)
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	return cmd, func() int {
		b.t.Helper()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			b.t.Fatalf("keel %q does not end", args)
		}
		return cmd.ProcessState.ExitCode()
	}
}

// comes waits until the container has a status; before that it need not exist.
func (b *box) comes(want string) {
	b.t.Helper()
	for range 500 {
		if out, _, code := b.run("state", "c"); code == 0 && strings.Contains(out, `"`+want+`"`) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("container c does not become %s", want)
}

func TestRootNotifySocket(t *testing.T) {
	m := newServiceManager(t)
	b := newBox(t, func(s *specs.Spec) { s.Root.Readonly = false }, "sleep", "600")

	// create and start: start returns when the container is ready.
	b.create("c")
	_, end := b.background("start", "c")
	b.comes("running")
	_, pid := b.status("c")
	b.say("STATUS=half way\nMAINPID=1")
	m.silent(t)
	b.say("STATUS=there\nREADY=1\nMAINPID=1")
	m.expect(t, "READY=1\n")
	m.expect(t, "MAINPID="+strconv.Itoa(pid)+"\n")
	m.expect(t, "BARRIER=1")
	if code := end(); code != 0 {
		t.Errorf("start: status %d", code)
	}
	m.silent(t)
	b.ok("delete", "-f", "c")

	// run --detach: the same.
	_, end = b.background("run", "-d", "-b", b.bundle, "c")
	b.comes("running")
	_, pid = b.status("c")
	b.say("READY=1")
	m.expect(t, "READY=1\n")
	m.expect(t, "MAINPID="+strconv.Itoa(pid)+"\n")
	m.expect(t, "BARRIER=1")
	end()
	b.ok("delete", "-f", "c")

	// run: keel stays, and is the process to watch.
	cmd, end := b.background("run", "-b", b.bundle, "c")
	b.comes("running")
	b.say("READY=1")
	m.expect(t, "READY=1\n")
	m.expect(t, "MAINPID="+strconv.Itoa(cmd.Process.Pid)+"\n")
	m.expect(t, "BARRIER=1")
	b.ok("kill", "c", "KILL")
	if code := end(); code != 137 {
		t.Errorf("run: status %d", code)
	}

	// One that ends without being ready ends the wait.
	_, end = b.background("run", "-d", "-b", b.bundle, "c")
	b.comes("running")
	b.ok("kill", "c", "KILL")
	end()
	m.silent(t)
}

// TestRootListenFDs: the descriptors of a socket unit, and those of --preserve-fds after them.
func TestRootListenFDs(t *testing.T) {
	b := newBox(t, nil, "sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; for i in 3 4 5 6; do [ -e /proc/self/fd/$i ] && /bin/busybox readlink /proc/self/fd/$i; done; true")
	one, err := os.Create(filepath.Join(b.bundle, "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := os.Create(filepath.Join(b.bundle, "two"))
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	run := func(listenPid string, more ...string) string {
		t.Helper()
		words := append([]string{"-c", "export LISTEN_PID=" + listenPid + " LISTEN_FDS=1; exec \"$0\" \"$@\"", b.keel, "--root", b.state, "run", "-b", b.bundle}, more...)
		cmd := exec.Command("/bin/sh", append(words, "c")...)
		cmd.ExtraFiles = []*os.File{one, two}
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out)
	}
	// The links name files outside the container by their path there.
	if got := run("$$"); got != "1 1\n"+one.Name()+"\n" {
		t.Errorf("one descriptor of systemd's: %q", got)
	}
	if got := run("$$", "--preserve-fds", "1"); got != "1 1\n"+one.Name()+"\n"+two.Name()+"\n" {
		t.Errorf("with --preserve-fds: %q", got)
	}
	if got := run("1"); got != "\n" {
		t.Errorf("descriptors that were for another process: %q", got)
	}
	if got := run("$$", "--preserve-fds", "2"); !strings.HasPrefix(got, "keel: unable to stat preserved-fd 1 (of 2)") {
		t.Errorf("a descriptor that is not there: %q", got)
	}
}

// TestRootSubreaper: orphans of a container without a pid namespace belong to `keel run`.
func TestRootSubreaper(t *testing.T) {
	for _, c := range []struct {
		option string
		ours   bool
	}{{"--no-subreaper=false", true}, {"--no-subreaper", false}} {
		b := newBox(t, func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
			s.Hostname = ""
			s.Mounts = s.Mounts[1:2]
			s.Root.Readonly = false
		}, "sh", "-c", "/bin/busybox sh -c '/bin/busybox sleep 601 & echo $! > /tmp/orphan'; read x < /tmp/go")
		if err := unix.Mkfifo(filepath.Join(b.bundle, "rootfs/tmp/go"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, end := b.background("run", c.option, "-b", b.bundle, "c")
		pid := ""
		for range 500 {
			text, _ := os.ReadFile(filepath.Join(b.bundle, "rootfs/tmp/orphan"))
			if pid = strings.TrimSpace(string(text)); pid != "" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		parent := ""
		for range 100 { // its own parent may just be ending
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			_, rest, _ := strings.Cut(string(status), "PPid:")
			if f := strings.Fields(rest); len(f) > 0 {
				parent = f[0]
			}
			if (parent == strconv.Itoa(cmd.Process.Pid)) == c.ours {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if (parent == strconv.Itoa(cmd.Process.Pid)) != c.ours {
			t.Errorf("with %s the parent of the orphan %s is %q; keel is %d", c.option, pid, parent, cmd.Process.Pid)
		}
		if n, err := strconv.Atoi(pid); err == nil && c.ours { // reaped, and taken for init by nobody
			unix.Kill(n, unix.SIGKILL)
			for range 200 {
				if _, err := os.Stat("/proc/" + pid); err != nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if _, err := os.Stat("/proc/" + pid); err == nil {
				t.Error("keel does not reap an orphan")
			}
		}
		f, err := os.OpenFile(filepath.Join(b.bundle, "rootfs/tmp/go"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("\n")
		if code := end(); code != 0 {
			t.Errorf("run %s: status %d", c.option, code)
		}
		f.Close()
	}
}
