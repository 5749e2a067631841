package shim

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkRootRun is from Launcher.Create to the end of /bin/true.
func BenchmarkRootRun(b *testing.B) {
	for _, userns := range []string{"none", "new", "given"} {
		b.Run("userns="+userns, func(b *testing.B) { benchRun(b, userns) })
	}
}

func benchRun(b *testing.B, userns string) {
	l := newLab(b)
	keel, err := builtKeel()
	if err != nil {
		b.Fatal(err)
	}
	var ns *os.File
	if userns == "given" {
		ns = l.userNS()
	}
	var create, start, end, gone, plain []time.Duration
	for range b.N {
		id := newID()
		sp := spec(id, "/bin/true")
		if userns != "none" {
			withUserNS(sp)
		}
		r := l.request(id, sp)
		if userns == "given" {
			r.UserNS = ns
		}
		r.Log.Driver = logfile.DriverNone
		t0 := time.Now()
		s := l.create(r)
		t1 := time.Now()
		l.start(s)
		t2 := time.Now()
		l.wait(s, "")
		t3 := time.Now()
		<-s.Done()
		create, start, end, gone = append(create, t1.Sub(t0)), append(start, t2.Sub(t0)), append(end, t3.Sub(t0)), append(gone, time.Since(t0))
		l.l.Forget(id)
		// Beside it `keel run` of the same container: the machine is not always the same.
		sp.Root.Path = l.root
		bundle := b.TempDir()
		config, _ := json.Marshal(sp)
		os.WriteFile(bundle+"/config.json", config, 0o600)
		t4 := time.Now()
		p, err := os.StartProcess(keel, []string{"keel", "--root", l.state + "/plain", "run", "-b", bundle, id}, &os.ProcAttr{Files: []*os.File{l.l.null, l.l.null, os.Stderr}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
		plain = append(plain, time.Since(t4))
	}
	for name, list := range map[string][]time.Duration{"create": create, "start": start, "exit": end, "gone": gone, "keel-run": plain} {
		slices.Sort(list)
		for what, at := range map[string]int{"best": 0, "p10": len(list) / 10, "median": len(list) / 2} {
			b.ReportMetric(float64(list[at].Microseconds())/1000, name+"-"+what+"-ms")
		}
	}
}

// withUserNS gives a container a user namespace of its own.
func withUserNS(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1_000_000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
}

// TestRootMemory: what a container costs, by the kernel's count of private memory.
func TestRootMemory(t *testing.T) {
	b := newLab(t)
	n := 50
	id := newID()
	warm := b.create(b.request(id, spec(id, "true"))) // this program's own code and buffers are there
	b.start(warm)
	b.wait(warm, "")
	debug.FreeOSMemory()
	before := pss(t, os.Getpid())
	var list []*Shim
	for range n {
		id := newID()
		s := b.create(b.request(id, spec(id, "sleep", "1000")))
		b.start(s)
		list = append(list, s)
	}
	time.Sleep(300 * time.Millisecond)
	debug.FreeOSMemory()
	shims := 0
	for _, s := range list {
		shims += pss(t, s.shimPid)
	}
	own := pss(t, os.Getpid()) - before
	t.Logf("%d containers: %d KiB a shim, %d KiB a container in the client", n, shims/n, own/n)
	for _, s := range list {
		if err := s.Delete(b.ctx()); err != nil {
			t.Error(err)
		}
	}
	const limit = 819 // KiB: 0.8 MiB (DESIGN.md section 10)
	if each := (shims + own) / n; each > limit {
		t.Errorf("a container costs %d KiB, the limit is %d", each, limit)
	}
}

// pss is the proportional set size of a process in KiB.
func pss(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var n int
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
			return n
		}
	}
	t.Fatal("no Pss in smaps_rollup")
	return 0
}
