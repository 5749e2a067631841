package containers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shimOf is the process of a container's shim.
func (d *daemon) shimOf(t *testing.T, id string) int {
	t.Helper()
	for _, p := range d.processes(t) {
		pid := strings.TrimPrefix(p, "process ")
		line, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if n, e := strconv.Atoi(pid); err == nil && e == nil && strings.Contains(string(line), id) {
			return n
		}
	}
	t.Fatalf("container %s has no shim", id)
	return 0
}

// promptly runs commands of other containers while one is in trouble.
func (d *daemon) promptly(t *testing.T, what string, argv ...[]string) {
	t.Helper()
	for _, a := range argv {
		begun := time.Now()
		d.ok(t, a...)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%s: %v takes %v", what, a, took)
		}
	}
}

// TestRootOneInTrouble: a container whose shim is killed or does not move, whose init is killed, delays nobody.
func TestRootOneInTrouble(t *testing.T) {
	d := hullWithImage(t, "trouble")
	start := func(name string) string {
		return d.ok(t, "run", "-d", "--network", "none", "--name", name, "busybox", "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
	}
	others := func(name string) [][]string {
		return [][]string{{"ps"}, {"inspect", name}, {"inspect", "bad"}, {"exec", name, "true"}, {"stop", name}, {"start", name}, {"ps", "-a"}}
	}
	start("good")

	bad := d.shimOf(t, start("bad"))
	if err := syscall.Kill(bad, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var stuck sync.WaitGroup
	stuck.Go(func() { d.do("exec", "bad", "true") }) // waits for the shim; nobody waits for it
	stuck.Go(func() { d.do("stop", "-t", "1", "bad") })
	time.Sleep(100 * time.Millisecond)
	d.promptly(t, "a frozen shim", others("good")...)
	if err := syscall.Kill(bad, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stuck.Wait()
	d.ok(t, "rm", "-f", "bad")

	if err := syscall.Kill(d.shimOf(t, start("bad")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.promptly(t, "a killed shim", others("good")...)
	d.ok(t, "rm", "-f", "bad")

	start("bad")
	pid, err := strconv.Atoi(d.ok(t, "inspect", "-f", "{{.State.Pid}}", "bad"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if out := d.ok(t, "wait", "bad"); out != "137" {
		t.Errorf("a killed init ends with %s", out)
	}
	d.promptly(t, "a killed init", others("good")...)

	// hulld stopped for a while: what runs goes on, and what was asked for is done then.
	d.ok(t, "run", "-d", "--network", "none", "--name", "counts", "busybox", "sh", "-c", "i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); sleep 0.02; done")
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	answer := make(chan result, 1)
	go func() { answer <- d.do("ps", "-q") }()
	time.Sleep(4 * time.Second)
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if r := <-answer; r.code != 0 {
		t.Errorf("what was asked of a stopped hulld: %+v", r)
	}
	if out := d.ok(t, "wait", "counts"); out != "0" {
		t.Errorf("it ended with %s", out)
	}
	if n := len(strings.Fields(d.ok(t, "logs", "counts"))); n != 100 {
		t.Errorf("%d lines of 100", n)
	}
}

// TestRootHundredSurvive: of a hundred containers that print all the time, none is lost when hulld is
// killed and started again, and no line of theirs.
func TestRootHundredSurvive(t *testing.T) {
	requires(t)
	many := 100
	dir := workDir(t, "hundred")
	d := startHulld(t, dir).withImage(t)
	d.client = program(t, "hull")
	work := make(chan int, many)
	for i := range many {
		work <- i
	}
	close(work)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range work {
				r := d.do("run", "-d", "--network", "none", "--name", fmt.Sprint("c", i), "busybox", "sh", "-c",
					"i=0; trap 'echo end; exit 0' TERM; while :; do echo $i; i=$((i+1)); sleep 0.1; done")
				if r.code != 0 {
					t.Errorf("container %d: %+v", i, r)
				}
			}
		})
	}
	all.Wait()
	pids := strings.Fields(d.ok(t, "inspect", "-f", "{{.State.Pid}}", "c0", "c50", "c99"))
	for range 2 {
		d.kill()
		time.Sleep(time.Second) // they print while there is no hulld
		begun := time.Now()
		d = startHulld(t, dir)
		d.client = program(t, "hull")
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("hulld answers after %v", took)
		}
		if n := len(strings.Fields(d.ok(t, "ps", "-q"))); n != many {
			t.Fatalf("%d containers of %d run after the kill\n%s", n, many, d.log())
		}
	}
	t.Cleanup(func() { d.removeAll(t) })
	if now := strings.Fields(d.ok(t, "inspect", "-f", "{{.State.Pid}}", "c0", "c50", "c99")); fmt.Sprint(now) != fmt.Sprint(pids) {
		t.Errorf("they are other processes: %v, %v before", now, pids)
	}
	stop := []string{"stop"}
	for i := range many {
		stop = append(stop, fmt.Sprint("c", i))
	}
	d.ok(t, stop...)
	lines := 0
	for i := range many {
		name := fmt.Sprint("c", i)
		got := strings.Fields(d.ok(t, "logs", name))
		if len(got) < 5 || got[len(got)-1] != "end" {
			t.Errorf("%s printed %d lines, the last is %q", name, len(got), got[max(0, len(got)-1):])
			continue
		}
		for n, line := range got[:len(got)-1] {
			if line != fmt.Sprint(n) {
				t.Errorf("%s: line %d is %q", name, n, line)
				break
			}
		}
		lines += len(got)
	}
	t.Logf("%d lines", lines)
}
