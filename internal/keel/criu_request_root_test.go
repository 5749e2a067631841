package keel

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fakeBox is a running container and a criu that does nothing with it.
func fakeBox(t *testing.T, mode string, change func(*specs.Spec)) (b *box, images string, asked func() wire) {
	t.Helper()
	record := filepath.Join(t.TempDir(), "record")
	t.Setenv("CRIU_FAKE", mode)
	t.Setenv("CRIU_RECORD", record)
	b = newBox(t, change, "sleep", "600")
	b.create("c")
	b.ok("start", "c")
	return b, filepath.Join(t.TempDir(), "images"), func() wire {
		t.Helper()
		text, err := os.ReadFile(record)
		if err != nil {
			t.Fatalf("criu was not asked: %v", err)
		}
		return parseWire(text)
	}
}

// TestRootCheckpointRequest: each option becomes the field of criu_opts (rpc.proto) that is meant.
func TestRootCheckpointRequest(t *testing.T) {
	b, images, asked := fakeBox(t, "", func(s *specs.Spec) {
		s.Annotations = map[string]string{"org.criu.config": "/etc/criu/own.conf"}
	})
	_, pid := b.status("c")
	plain := wire{
		2: {int64(pid)}, 3: {int64(1)}, 9: {int64(4)}, 10: {"dump.log"}, 12: {int64(1)}, 13: {filepath.Join(b.bundle, "rootfs")}, 24: {int64(1)},
		34: {int64(3)}, 38: {int64(0x40000000)}, 44: {"/sys/fs/cgroup/freezer" + b.cgroup()}, 50: {int64(1)}, 51: {"/etc/criu/own.conf"},
	}
	ask := func(options ...string) wire {
		t.Helper()
		args := append([]string{"--criu", os.Args[0], "checkpoint", "--image-path", images, "--leave-running"}, options...)
		b.ok(append(args, "c")...)
		got := asked()
		delete(got, 1)  // descriptors
		delete(got, 17) // of the directories
		delete(got, 23) // external mounts are tested by restoring them
		return got
	}
	if got := ask(); fmt.Sprint(got) != fmt.Sprint(plain) {
		t.Errorf("criu_opts\n %v, want\n %v", got, plain)
	}
	for option, want := range map[string]wire{
		"--ext-unix-sk":                             {4: {int64(1)}},
		"--tcp-established":                         {5: {int64(1)}},
		"--shell-job":                               {7: {int64(1)}},
		"--file-locks":                              {8: {int64(1)}},
		"--page-server=127.0.0.1:77":                {11: {string(message(field(1, []byte("127.0.0.1")), field(2, 77)))}},
		"--page-server=[::1]:77":                    {11: {string(message(field(1, []byte("::1")), field(2, 77)))}},
		"--auto-dedup":                              {16: {int64(1)}},
		"--link-remap":                              {18: {int64(1)}},
		"--manage-cgroups-mode=ignore":              {34: {int64(0)}},
		"--manage-cgroups-mode=full":                {34: {int64(4)}},
		"--manage-cgroups-mode=strict":              {34: {int64(5)}},
		"--tcp-skip-in-flight":                      {46: {int64(1)}},
		"--lazy-pages":                              {48: {int64(1)}},
		"--parent-path=../" + filepath.Base(images): {14: {"../" + filepath.Base(images)}, 15: {int64(1)}},
	} {
		for k, v := range plain {
			if _, ok := want[k]; !ok {
				want[k] = v
			}
		}
		if got := ask(option); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: criu_opts\n %v, want\n %v", option, got, want)
		}
	}
	for option, want := range map[string]string{
		"--manage-cgroups-mode=none": "invalid manage-cgroups-mode value",
		"--empty-ns=uts":             `namespace "uts" is not supported`,
		"--page-server=77":           "use --page-server ADDRESS:PORT",
		"--page-server=::1:77":       "use --page-server ADDRESS:PORT",
		"--page-server=host:":        "use --page-server ADDRESS:PORT",
		"--page-server=host:0":       "invalid port number of --page-server",
		"--page-server=host:65536":   "invalid port number of --page-server",
		"--status-fd=x":              `invalid --status-fd argument "x"`,
	} {
		b.refused(1, want, "--criu", os.Args[0], "checkpoint", "--image-path", images, option, "c")
	}
}

// TestRootCheckpointPreDump: the container goes on, and criu's way to end after a pre-dump, which
// is to fail when it is hung up on, is no error.
func TestRootCheckpointPreDump(t *testing.T) {
	b, images, asked := fakeBox(t, "", nil)
	b.ok("--criu", os.Args[0], "checkpoint", "--image-path", images, "--pre-dump", "c")
	if s, _ := b.status("c"); s != "running" {
		t.Errorf("after a pre-dump: %s", s)
	}
	if got := asked(); len(got[23]) > 0 || got.number(3) != -1 {
		t.Errorf("criu_opts %v: want neither mounts nor leave_running", got)
	}
	if _, err := os.Stat(filepath.Join(images, "descriptors.json")); err == nil {
		t.Error("a pre-dump writes descriptors.json")
	}
}

// TestRootCheckpointStatusFD: a byte comes once criu can serve pages.
func TestRootCheckpointStatusFD(t *testing.T) {
	b, images, _ := fakeBox(t, "", nil)
	b.refused(1, "invalid --status-fd argument 77", "--criu", os.Args[0], "checkpoint", "--image-path", images, "--lazy-pages", "--status-fd", "77", "c")
	out, err := os.Create(filepath.Join(t.TempDir(), "status"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	// 3 of keel is out: a shell passes it on.
	cmd := b.shell(`exec "$@" 3>"`+out.Name()+`"`, "--criu", os.Args[0], "checkpoint", "--image-path", images, "--leave-running", "--lazy-pages", "--status-fd", "3", "c")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("checkpoint: %v: %s", err, text)
	}
	if text, err := os.ReadFile(out.Name()); err != nil || string(text) != "\x00" {
		t.Errorf("status descriptor: %q, %v; want one zero byte", text, err)
	}
}

// TestRootCheckpointOddCriu: what is wrong with criu is said, and the container goes on.
func TestRootCheckpointOddCriu(t *testing.T) {
	for mode, want := range map[string]string{
		"old":         "criu 3.15.1 is too old: 3.16 or newer is needed",
		"garbage":     "a message from criu is cut short or malformed",
		"huge":        "a message from criu is cut short or malformed",
		"other":       "criu answers VERSION to DUMP",
		"featureless": "criu is missing features: [MemTrack]",
	} {
		b, images, _ := fakeBox(t, mode, nil)
		args := []string{"--criu", os.Args[0], "checkpoint", "--image-path", images, "c"}
		if mode == "featureless" {
			args = append(args, "--pre-dump")
		}
		b.refused(1, want, args...)
		if s, _ := b.status("c"); s != "running" {
			t.Errorf("%s: the container is %s", mode, s)
		}
		if !strings.Contains(mode, "featureless") {
			continue
		}
		b.refused(1, "criu is missing features: [LazyPages]", "--criu", os.Args[0], "checkpoint", "--image-path", images, "--lazy-pages", "c")
	}
}

// TestRootCheckpointDescriptors: init's first standard descriptors are on record, also when init
// has others by then.
func TestRootCheckpointDescriptors(t *testing.T) {
	b, images, _ := fakeBox(t, "", func(s *specs.Spec) { s.Root.Readonly = false })
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	b.config(func(s *specs.Spec) {
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "exec >/tmp/out; exec /bin/busybox sleep 600"}
	})
	b.ok("delete", "-f", "c") // they would share a cgroup
	cmd := b.shell(`exec "$@" </dev/null 2>/dev/null`, "run", "-d", "-b", b.bundle, "d")
	cmd.Stdout = w
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	b.ok("--criu", os.Args[0], "checkpoint", "--image-path", images, "--leave-running", "d")
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(w.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	want := `["/dev/null","` + link + `","/dev/null"]`
	if text, err := os.ReadFile(filepath.Join(images, "descriptors.json")); string(text) != want {
		t.Errorf("descriptors.json: %s, %v; want %s", text, err, want)
	}
}
