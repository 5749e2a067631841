package images

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hull-dev/hull/internal/registry/hostile"
)

// Bounds of one pull from a registry that misbehaves, with the time limits divided by haste.
const (
	haste         = "50"
	hostileTime   = 15 * time.Second
	hostileMemory = 64 << 20
)

// TestRootHostileRegistry: each way to misbehave, through a whole hulld and the clients of Hull and
// of Docker: bounded time and memory, one clear error, no secret where it does not belong, and
// the next pull works.
func TestRootHostileRegistry(t *testing.T) {
	requires(t)
	t.Parallel() // it waits most of the time
	for _, client := range []string{"hull", "docker"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			d := startHulld(t, workDir(t, "hostile"), "HULL_HASTE="+haste)
			if client == "hull" {
				d.client = program(t, "hull")
			}
			all := hostile.Behaviours()
			for _, b := range all {
				t.Run(b.Name, func(t *testing.T) { misbehave(t, d, b) })
			}
			if len(all) < 30 {
				t.Errorf("there are %d behaviours, want at least 30", len(all))
			}
			log, err := os.ReadFile(filepath.Join(d.dir, "run", "hulld.log"))
			if err != nil || len(log) == 0 {
				t.Fatalf("the log: %d bytes, %v", len(log), err)
			}
			for _, s := range hostile.Secrets() {
				if i := strings.Index(string(log), s); i >= 0 {
					t.Errorf("the log has a secret: %.300s", log[max(0, i-150):])
				}
			}
			d.ok(t, "image", "prune", "-af")
			fsck(t, d)
		})
	}
}

// misbehave pulls once from a registry with behaviour b, and once more when it is a good one.
func misbehave(t *testing.T, d *daemon, b hostile.Behaviour) {
	srv, err := hostile.Start(b)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	credentials(t, d, srv.Host())
	args := []string{"pull", srv.Host() + "/" + hostile.Repository + ":" + hostile.Tag}
	if b.Tags {
		args = []string{"pull", "-a", srv.Host() + "/" + hostile.Repository}
	}
	base := d.memory(t, true)
	begun := time.Now()
	r := d.do(args...)
	took, grown := time.Since(begun), d.memory(t, false)-base
	if took > hostileTime {
		t.Errorf("it took %v", took)
	}
	if grown > hostileMemory {
		t.Errorf("hulld grew by %d MiB", grown>>20)
	}
	if r.code == 0 != (b.Want == hostile.Recovered) {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	if r.code != 0 {
		oneLine(t, r.err, srv.Host())
	}
	for _, s := range hostile.Secrets() {
		if strings.Contains(r.out+r.err, s) {
			t.Errorf("the client shows a secret: %s%s", r.out, r.err)
		}
	}
	t.Logf("%v, %d KiB: %s", took.Round(time.Millisecond), grown>>10, r.err)
	srv.Heal()
	// Documents that are part of the image do not heal.
	if again := d.do(args...); again.code != 0 && !strings.HasPrefix(b.Name, "index ") {
		t.Errorf("the next pull: %s%s", again.out, again.err)
	}
	if stolen := srv.Stolen(); len(stolen) > 0 {
		t.Errorf("the thief got %v", stolen)
	}
}

// oneLine holds what a client says of a failure to one line that names the registry.
func oneLine(t *testing.T, text, host string) {
	t.Helper()
	line := strings.TrimSuffix(text, "\n")
	if line == "" || len(line) > 1000 || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("the error is not one clear line: %q", text)
	}
	if !strings.Contains(line, host) {
		t.Errorf("the error does not name %s: %q", host, text)
	}
}

// credentials logs the client in at a registry, and at no other.
func credentials(t *testing.T, d *daemon, host string) {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(hostile.User + ":" + hostile.Password))
	raw, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"auth": auth}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(d.dir, "client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// memory is hulld's resident memory in bytes: now, if the peak shall begin anew, or the peak since then.
func (d *daemon) memory(t *testing.T, anew bool) int64 {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	field := "VmHWM:"
	if anew {
		field = "VmRSS:"
		if err := os.WriteFile(proc+"clear_refs", []byte("5"), 0); err != nil { // proc(5)
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), field)
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
