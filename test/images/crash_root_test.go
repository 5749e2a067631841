package images

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// points are where hulld leaves something behind that a crash would leave, with the commands
// that come there.
var points = map[string][]string{
	"load -i FIXTURES": {"load.file", "load.file:3", "layer.prepared", "layer.unpacked", "layer.committed", "layer.committed:2", "name.before", "name.after", "name.after:2"},
	"pull REG/two:1":   {"layer.prepared", "layer.received", "layer.stored", "layer.unpacked", "layer.committed", "layer.committed:3", "name.before", "name.after"},
	"import LAYER i:1": {"layer.prepared", "layer.unpacked", "layer.committed", "name.before", "name.after"},
	"rmi -f two:1":     {"remove.untagged", "remove.deleted", "collect.before", "collect.after"},
	"image prune -af":  {"remove.untagged", "remove.untagged:2", "remove.deleted", "remove.deleted:2", "collect.before"},
}

// TestRootKilled kills hulld at each point of each operation. After a restart the store must be
// whole without repair, nothing may be on disk that nothing owns, and the same command must
// do what it does.
func TestRootKilled(t *testing.T) {
	requires(t)
	registry := startRegistry(t)
	shared := workDir(t, "fixtures")
	fixture, flat := filepath.Join(shared, "fixtures.tar"), filepath.Join(shared, "layer.tar")
	if err := os.WriteFile(fixture, fixtures(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(flat, layer(t, dir("etc"), text("etc/hello", "hello\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := startHulld(t, workDir(t, "seed"))
	seed.ok(t, "load", "-i", fixture)
	seed.ok(t, "tag", "two:1", registry+"/two:1")
	seed.ok(t, "push", "-q", registry+"/two:1")
	for command, at := range points {
		args := strings.Fields(strings.NewReplacer("REG", registry, "FIXTURES", fixture, "LAYER", flat).Replace(command))
		for _, point := range at {
			t.Run(strings.Fields(command)[0]+"/"+point, func(t *testing.T) { killAt(t, fixture, point, args) })
		}
	}
}

func killAt(t *testing.T, fixture, point string, args []string) {
	work := workDir(t, "killed")
	if remove := args[0] == "rmi" || args[0] == "image"; remove {
		before := startHulld(t, work)
		before.ok(t, "load", "-i", fixture)
		before.stop(t)
	}
	dying := startHulld(t, work, "HULL_FAILPOINT="+point)
	dying.do(args...)
	// The collector runs a moment later.
	err := <-dying.ended
	dying.ended <- err
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("hulld did not come to %s: %v\n%s", point, err, dying.log())
	}
	d := startHulld(t, work)
	fsck(t, d)
	for id := range strings.FieldsSeq(d.ok(t, "images", "-q", "--no-trunc")) {
		if out := d.ok(t, "save", id); len(out) == 0 {
			t.Errorf("image %s cannot be saved", id)
		}
	}
	if r := d.do(args...); r.code != 0 && !slices.Contains([]string{"rmi"}, args[0]) {
		t.Errorf("again: %s%s", r.out, r.err)
	}
	fsck(t, d)
	d.ok(t, "image", "prune", "-af")
	fsck(t, d)
	if blobs := files(t, filepath.Join(work, "data", "meta", "content", "blobs", "sha256")); point != "layer.received" && args[0] != "pull" && len(blobs) > 0 {
		t.Errorf("with no image left, these blobs are: %v", blobs)
	}
}

// fsck asks hull whether the store is whole.
func fsck(t *testing.T, d *daemon) {
	t.Helper()
	out, err := exec.Command(program(t, "hull"), "-H", "unix://"+d.socket, "system", "fsck").CombinedOutput()
	if err != nil {
		t.Errorf("the store is not whole: %v\n%s", err, out)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
