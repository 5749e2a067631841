package network

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/network/rtnl"
)

const inside = "HULL_NETWORK_TEST"

// alone runs the calling test in a network and mount namespace of its own: in the first process it
// starts that and returns false when the test has been run there.
func alone(t testing.TB) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=120s"}
	if _, ok := t.(*testing.B); ok {
		args = []string{"-test.run=^$", "-test.bench=^" + t.Name() + "$", "-test.timeout=300s"}
		for _, a := range os.Args {
			if strings.HasPrefix(a, "-test.benchtime") || strings.HasPrefix(a, "-test.cpuprofile") {
				args = append(args, a)
			}
		}
	}
	if *update {
		args = append(args, "-update")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if _, ok := t.(*testing.B); ok {
		fmt.Printf("%s", out) // a benchmark's log is cut
	} else if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil {
		t.Fatalf("in a namespace of its own: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip("skipped in a namespace of its own")
	}
	return false
}

type bench struct {
	t    testing.TB
	h    *Host
	cfg  Config
	boxs map[string]*os.File
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return c
}

// host opens and restores a Host in this namespace.
func host(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	sh(t, "ip link set lo up")
	cfg := Config{DataDir: t.TempDir(), ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if change != nil {
		change(&cfg)
	}
	b := &bench{t: t, cfg: cfg, boxs: make(map[string]*os.File)}
	b.start(nil)
	t.Cleanup(func() { b.h.Close() })
	return b
}

func (b *bench) start(running []Running) {
	b.t.Helper()
	h, err := Open(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := h.Restore(ctx(b.t), running); err != nil {
		b.t.Fatal(err)
	}
	b.h = h
}

func id(name string) string { return fmt.Sprintf("%-64s", name)[:64] }

// container makes a namespace and attaches it to networks.
func (b *bench) container(name string, reqs ...EndpointRequest) []*Endpoint {
	b.t.Helper()
	ns, err := b.h.NewNetNS(ctx(b.t), id(name), true)
	if err != nil {
		b.t.Fatal(err)
	}
	b.boxs[name] = ns
	b.t.Cleanup(func() { ns.Close() })
	var list []*Endpoint
	for _, r := range reqs {
		list = append(list, b.attach(name, r))
	}
	return list
}

func (b *bench) attach(name string, r EndpointRequest) *Endpoint {
	b.t.Helper()
	r.Container, r.Name, r.NetNS = id(name), name, b.boxs[name]
	e, err := b.h.Attach(ctx(b.t), r)
	if err != nil {
		b.t.Fatalf("attaching %s to %s: %v", name, r.Network, err)
	}
	return e
}

func sh(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// in runs a script in a container's namespace.
func (b *bench) in(name, script string) (string, error) {
	var out []byte
	var fail error
	err := rtnl.Inside(int(b.boxs[name].Fd()), func() error {
		out, fail = exec.Command("sh", "-ec", script).CombinedOutput()
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out), fail
}

func (b *bench) must(name, script string) string {
	b.t.Helper()
	out, err := b.in(name, script)
	if err != nil {
		b.t.Fatalf("in %s: %s: %v\n%s", name, script, err, out)
	}
	return out
}

// listen answers on a TCP port of a namespace with the address that it sees of the client.
func (b *bench) listen(name, at string) {
	b.t.Helper()
	var l net.Listener
	run := func() (err error) { l, err = net.Listen("tcp", at); return err }
	err := b.inside(name, run)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s", c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
}

// inside runs f in a namespace; "" is the host's.
func (b *bench) inside(name string, f func() error) error {
	if name == "" {
		return f()
	}
	return rtnl.Inside(int(b.boxs[name].Fd()), f)
}

// dial connects from a namespace and reads the answer.
func (b *bench) dial(from, to string, patience time.Duration) (string, error) {
	var c net.Conn
	err := b.inside(from, func() (err error) { c, err = net.DialTimeout("tcp", to, patience); return err })
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// reaches checks that a connection is answered, and by whom the other end thinks it is spoken to.
func (b *bench) reaches(from, to, as string) {
	b.t.Helper()
	got, err := b.dial(from, to, 3*time.Second)
	if err != nil {
		b.t.Errorf("from %q to %s: %v", from, to, err)
	} else if as != "" && got != as {
		b.t.Errorf("from %q to %s: seen as %s, want %s", from, to, got, as)
	}
}

func (b *bench) cannotReach(from, to string) {
	b.t.Helper()
	if got, err := b.dial(from, to, 500*time.Millisecond); err == nil {
		b.t.Errorf("from %q to %s: answered (seen as %s), want nothing", from, to, got)
	}
}

// outside makes a namespace that stands for another machine on the host's wire: 192.0.2.2 (and
// 2001:db8::2) there, .1 here.
func (b *bench) outside(name string) {
	b.t.Helper()
	ns, err := rtnl.NewNetNS()
	if err != nil {
		b.t.Fatal(err)
	}
	b.boxs[name] = ns
	b.t.Cleanup(func() { ns.Close() })
	c, err := rtnl.Open()
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	var p rtnl.Plan
	p.Veth("wan", "eth0", int(ns.Fd()), 0, nil)
	if err := c.Apply(&p); err != nil {
		b.t.Fatal(err)
	}
	sh(b.t, "ip link set wan up; ip addr add 192.0.2.1/24 dev wan; ip addr add 2001:db8::1/64 dev wan nodad")
	b.must(name, "ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8::2/64 dev eth0 nodad; ip route add default via 192.0.2.1")
}

// openLink is the index of a device of the calling thread's namespace.
func openLink(name string) (int, error) {
	c, err := rtnl.Open()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	l, err := c.Link(name)
	return l.Index, err
}
