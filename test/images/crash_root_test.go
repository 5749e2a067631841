package images

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// points are where hulld leaves something behind that a crash would leave, with the commands
// that come there. Those of package snapshot are met by each
// layer that comes and goes, and once by the sweep of each start, as is collect.blob.
var points = map[string][]string{
	"load -i FIXTURES": {"load.file", "load.file:3", "snapshot.prepare.recorded:2", "snapshot.prepare.made:2", "snapshot.prepare.filled:2", "snapshot.prepare.renamed:2", "layer.prepared", "layer.unpacked", "snapshot.commit.sealed", "snapshot.commit.synced", "snapshot.commit.recorded",
		"layer.committed", "layer.committed:2", "document.stored", "document.stored:2", "name.before", "name.after", "name.after:2"},
	"load -i LAYOUT": {"load.file:2", "load.file:5", "layer.prepared", "layer.committed", "name.before", "name.after"},
	"pull REG/two:1": {"snapshot.prepare.recorded:3", "snapshot.prepare.renamed:2", "layer.prepared", "layer.received", "layer.received:3", "layer.stored", "layer.stored:2", "layer.unpacked", "snapshot.commit.sealed:2", "snapshot.commit.synced:3", "snapshot.commit.recorded:2",
		"layer.committed", "layer.committed:3", "document.stored", "document.stored:2", "name.before", "name.after"},
	"import LAYER i:1": {"snapshot.prepare.filled:2", "layer.prepared", "layer.unpacked", "layer.stored", "snapshot.commit.synced", "snapshot.commit.recorded", "layer.committed", "document.stored", "document.stored:2", "name.before", "name.after"},
	"push REG/two:1":   {"push.packed", "push.packed:2", "document.stored", "name.before", "name.after"},
	"rmi -f two:1":     {"remove.untagged", "remove.deleted", "collect.before", "snapshot.remove.recorded:2", "snapshot.remove.renamed:2", "snapshot.trash.deleted:2", "collect.blob:2", "collect.blob:3", "collect.after"},
	"image prune -af":  {"remove.untagged", "remove.untagged:2", "remove.deleted", "remove.deleted:2", "collect.before", "snapshot.remove.recorded:3", "snapshot.remove.renamed:4", "snapshot.trash.deleted:3", "collect.blob:4", "collect.blob:7", "collect.after"},
}

// TestRootKilled kills hulld at each point of each operation. After a restart the store must be
// whole without repair, nothing may be on disk that nothing owns, and the same command must
// do what it does.
func TestRootKilled(t *testing.T) {
	requires(t)
	t.Parallel()
	registry := startRegistry(t)
	shared := fastDir(t, "fixtures")
	fixture, layout, flat := filepath.Join(shared, "fixtures.tar"), filepath.Join(shared, "layout.tar"), filepath.Join(shared, "layer.tar")
	p := payloadOf(layer(t, dir("etc"), text("etc/hello", "hello\n")))
	for path, data := range map[string]io.Reader{fixture: bytes.NewReader(fixtures(t)), layout: p.layout(), flat: p.open()} {
		raw, err := io.ReadAll(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seed := startHulld(t, fastDir(t, "seed"))
	seed.ok(t, "load", "-i", fixture)
	seed.ok(t, "tag", "two:1", registry+"/two:1")
	seed.ok(t, "push", "-q", registry+"/two:1")
	for command, at := range points {
		args := strings.Fields(strings.NewReplacer("REG", registry, "FIXTURES", fixture, "LAYER", flat, "LAYOUT", layout).Replace(command))
		for _, point := range at {
			t.Run(strings.Join(strings.Fields(command)[:2], " ")+"/"+point, func(t *testing.T) { killAt(t, fixture, point, args) })
		}
	}
}

func killAt(t *testing.T, fixture, point string, args []string) {
	work := fastDir(t, "killed")
	if args[0] == "rmi" || args[0] == "image" || args[0] == "push" {
		before := startDriver(t, work, "overlay")
		before.ok(t, "load", "-i", fixture)
		if args[0] == "push" {
			before.ok(t, "tag", "two:1", args[1])
		}
		time.Sleep(400 * time.Millisecond) // the archive's own files go, which would count
		before.stop(t)
	}
	dying := startDriver(t, work, "overlay", "HULL_FAILPOINT="+point)
	dying.do(args...)
	// The collector runs a moment later.
	var err error
	select {
	case err = <-dying.ended:
		dying.ended <- err
	case <-time.After(20 * time.Second):
	}
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("hulld did not come to %s: %v\n%s", point, err, dying.log())
	}
	afterCrash(t, work, args)
}

// afterCrash starts hulld again, does the same once more, and removes everything.
func afterCrash(t *testing.T, work string, args []string) {
	t.Helper()
	d := startDriver(t, work, "overlay")
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
	nothingLeft(t, d)
}

// nothingLeft waits for the collector: with no image, no byte of one is on disk.
func nothingLeft(t *testing.T, d *daemon) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := slices.Concat(files(t, snapshotsDir(d)), files(t, blobsDir(d)), files(t, filepath.Join(d.dataDir(), "meta", "content", "ingest")), files(t, filepath.Join(d.dataDir(), "snapshots", d.driver, "trash")))
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("with no image left, these are: %v", left)
		}
	}
}

// TestRootKilledAnyTime kills hulld at moments that nobody chose.
func TestRootKilledAnyTime(t *testing.T) {
	requires(t)
	registry := startRegistry(t)
	work := fastDir(t, "anytime")
	fixture := filepath.Join(work, "fixtures.tar")
	if err := os.WriteFile(fixture, fixtures(t), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := startDriver(t, work, "overlay")
	seed.ok(t, "load", "-i", fixture)
	seed.ok(t, "tag", "two:1", registry+"/two:1")
	seed.ok(t, "push", "-q", registry+"/two:1")
	seed.stop(t)
	for range 15 {
		d := startDriver(t, work, "overlay")
		var all sync.WaitGroup
		for _, args := range [][]string{{"load", "-i", fixture}, {"pull", registry + "/two:1"}, {"rmi", "-f", "two:1"}, {"image", "prune", "-af"}} {
			all.Go(func() {
				for d.do(args...).code >= 0 && d.alive() {
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		d.kill()
		all.Wait()
	}
	// The bytes of a pull that broke are kept for the next one, which has to come.
	afterCrash(t, work, []string{"pull", registry + "/two:1"})
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
