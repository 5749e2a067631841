package network

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRootKill kills a hulld, again and again, while it makes and removes networks, endpoints and
// ports; the next one finds nothing of it that it does not know.
func TestRootKill(t *testing.T) {
	if dir := os.Getenv("HULL_NETWORK_VICTIM"); dir != "" {
		victim(t, dir)
		return
	}
	if !alone(t) {
		return
	}
	sh(t, "ip link set lo up")
	dir := t.TempDir()
	for round := range 25 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestRootKill$")
		cmd.Env = append(os.Environ(), "HULL_NETWORK_VICTIM="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(120)+15) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		h, err := Open(Config{DataDir: dir, ResolvConf: "/dev/null"})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Restore(ctx(t), nil); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		want := make(map[string]bool)
		for _, n := range h.List() {
			want[n.Bridge] = true
		}
		for _, line := range strings.Split(strings.TrimSpace(sh(t, "ip -o link")), "\n") {
			name := strings.TrimSuffix(strings.Fields(line)[1], ":")
			if name != "lo" && !want[name] {
				t.Errorf("round %d: device left: %s", round, line)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("round %d: bridges that are missing: %v", round, want)
		}
		out := sh(t, "nft list table inet hull; nft list table bridge hull")
		if strings.Count(out, "hv00") > 1 || strings.Contains(out, " : 172") || strings.Contains(out, "own4 { 172") {
			t.Errorf("round %d: elements left:\n%s", round, out)
		}
		for _, n := range h.List() {
			if eps := h.Endpoints(n.ID); len(eps) > 0 {
				t.Errorf("round %d: endpoints %v", round, eps)
			}
		}
		files, err := os.ReadDir(dir + "/networks")
		if err != nil || len(files) != len(h.List()) {
			t.Errorf("round %d: %d files of %d networks: %v", round, len(files), len(h.List()), err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// victim works until it is killed.
func victim(t *testing.T, dir string) {
	h, err := Open(Config{DataDir: dir, ResolvConf: "/dev/null", Prepared: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Restore(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	for worker := range 3 {
		go func() {
			for i := 0; ; i++ {
				c, name := id(fmt.Sprint("c", worker, i)), fmt.Sprint("n", worker)
				_, _ = h.Create(context.Background(), Options{Name: name, IPv6: i%2 == 0})
				ns, err := h.NewNetNS(context.Background(), c, true)
				if err != nil {
					continue
				}
				for _, network := range []string{name, "bridge"} {
					_, _ = h.Attach(context.Background(), EndpointRequest{Container: c, Name: c[:4], Network: network, Ports: []Port{{Proto: "tcp", Container: 80}}, Bandwidth: Bandwidth{Out: uint64(i%2) * 1e9}})
				}
				ns.Close()
				_ = h.Release(context.Background(), c)
				_, _ = h.Remove(context.Background(), name)
			}
		}()
	}
	select {}
}

// TestRootRules compares what the kernel made of the rules, as nft(8) prints it, with a golden file.
func TestRootRules(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	f, s, e := sample(t)
	b.h.fw.mu.Lock()
	b.h.fw.tables, b.h.fw.want = f.tables, f.want
	b.h.fw.mu.Unlock()
	if err := b.h.fw.apply(append(f.ofNetwork(s), f.ofEndpoint(s, e)...), nil); err != nil {
		t.Fatal(err)
	}
	out := sh(t, "nft -s list table inet hull; nft -s list table bridge hull")
	// Who owns a table is printed with it.
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		lines[i], _, _ = strings.Cut(l, " # progname")
	}
	golden(t, "kernel.txt", strings.Join(lines, "\n"))
}
