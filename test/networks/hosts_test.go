// Package networks drives hulld in a network namespace of its own, beside a namespace that stands for
// another machine, with the hull command line.
//
//	make networks
//	HULL_TEST_NETWORKS=1 HULL_BIN=$PWD/bin go test ./test/networks -v
package networks

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	hostIP    = "198.51.100.1"
	outsideIP = "198.51.100.9"
)

// world is a host with hulld, and a machine beside it.
type world struct {
	t             *testing.T
	dir           string
	host, outside int // pids of processes that hold the namespaces
	daemon        *exec.Cmd
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("HULL_TEST_NETWORKS") == "" {
		t.Skip("HULL_TEST_NETWORKS is not set (make networks)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	dir, err := os.MkdirTemp("/var/tmp", "hull-networks-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, host: namespace(t), outside: namespace(t)}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	in := func(pid int, words string) {
		if out, err := w.in(pid, strings.Fields(words)...); err != nil {
			t.Fatalf("%s: %v: %s", words, err, out)
		}
	}
	in(w.host, "ip link set lo up")
	in(w.host, "ip link add out type veth peer name in netns "+strconv.Itoa(w.outside))
	in(w.host, "ip addr add "+hostIP+"/24 dev out")
	in(w.host, "ip link set out up")
	in(w.outside, "ip addr add "+outsideIP+"/24 dev in")
	in(w.outside, "ip link set in up")
	in(w.outside, "ip route add default via "+hostIP)
	w.start()
	t.Cleanup(w.stop)
	w.image()
	return w
}

// namespace makes a network namespace, held by a process until the test's end.
func namespace(t *testing.T) int {
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// in runs a program in a namespace.
func (w *world) in(pid int, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(pid), "-n"}, words...)...).CombinedOutput()
	return string(out), err
}

func bin(name string) string {
	dir := os.Getenv("HULL_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		panic(err)
	}
	return path
}

func (w *world) start() {
	w.t.Helper()
	run := filepath.Join(w.dir, "run")
	w.daemon = exec.Command("nsenter", "-t", strconv.Itoa(w.host), "-n", bin("hulld"), "--data-root", filepath.Join(w.dir, "data"), "--state-dir", run)
	w.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := w.daemon.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.soon(10*time.Second, "hulld answers", func() bool { _, err := w.try("version"); return err == nil })
}

func (w *world) kill() {
	_ = w.daemon.Process.Kill() // nsenter without a fork is hulld itself
	_ = w.daemon.Wait()
}

func (w *world) stop() {
	if ids := strings.Fields(w.hull("ps", "-aq")); len(ids) > 0 {
		w.hull(append([]string{"rm", "-f"}, ids...)...)
	}
	_ = w.daemon.Process.Signal(syscall.SIGTERM)
	_ = w.daemon.Wait()
}

// try runs the command line.
func (w *world) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin("hull"), append([]string{"-H", "unix://" + filepath.Join(w.dir, "run", "hull.sock")}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.String())
	}
	return strings.TrimSpace(string(out)), err
}

// hull runs a command that must succeed.
func (w *world) hull(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(w.dir, "run", "hulld.log"))
		w.t.Fatalf("hull %s: %v\n%s", strings.Join(args, " "), err, log[max(0, len(log)-2000):])
	}
	return out
}

func (w *world) image() {
	w.t.Helper()
	root := filepath.Join(w.dir, "root")
	script := "mkdir -p " + root + "/bin " + root + "/etc && cp /bin/busybox " + root + "/bin/ && for a in sh cat ls sleep httpd nc nslookup id ip; do ln -s busybox " + root + "/bin/$a; done && echo page > " + root + "/page && tar -C " + root + " -c . >" + w.dir + "/image.tar"
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		w.t.Fatalf("making the image (busybox-static): %v: %s", err, out)
	}
	w.hull("import", filepath.Join(w.dir, "image.tar"), "box")
}

// get fetches a page from a namespace.
func (w *world) get(pid int, url string) bool {
	out, err := w.in(pid, "curl", "-sS", "-m", "1", "--noproxy", "*", url)
	return err == nil && out == "page\n"
}

func (w *world) soon(d time.Duration, what string, f func() bool) {
	w.t.Helper()
	for begin := time.Now(); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > d {
			w.t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// reaches says whether a container gets a page from another one that it knows by a name or an address.
// Names are asked for by nslookup: a static program of glibc cannot be trusted with them.
func (w *world) reaches(from, name string) bool {
	if _, err := netip.ParseAddr(name); err != nil {
		out, _ := w.try("exec", from, "nslookup", name)
		_, answer, _ := strings.Cut(out, "Name:\t"+name+"\nAddress: ")
		if name, _, _ = strings.Cut(answer, "\n"); name == "" {
			return false
		}
	}
	out, _ := w.try("exec", from, "sh", "-c", "printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | nc -w 1 "+name+" 80")
	return strings.HasSuffix(out, "page")
}
