package keel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mounting runs a shell command in a container with mounts added to the default ones.
func (b *box) mounting(script string, mounts ...specs.Mount) (stdout, stderr string, code int) {
	b.t.Helper()
	b.config(func(s *specs.Spec) {
		s.Mounts = append(slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Source == "added" || strings.HasPrefix(m.Destination, "/added") }), mounts...)
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", script}
	})
	return b.run("run", "-b", b.bundle, "c")
}

// TestRootMountsAreMadeInOrder: a bind whose source is below the container's root finds what
// earlier mounts have put there, as with runc.
func TestRootMountsAreMadeInOrder(t *testing.T) {
	b := newBox(t, nil)
	os.MkdirAll(filepath.Join(b.bundle, "rootfs/added/a"), 0o701)
	os.WriteFile(filepath.Join(b.bundle, "file"), []byte("text"), 0o644)
	mounts := []specs.Mount{
		{Destination: "/added/a", Type: "tmpfs", Source: "tmpfs"},
		{Destination: "/added/a/deep/file", Source: "file", Options: []string{"bind"}}, // relative to the bundle
		{Destination: "/added/b", Source: filepath.Join(b.bundle, "rootfs/added/a"), Options: []string{"rbind", "ro"}},
		{Destination: "/added/c", Source: filepath.Join(b.bundle, "rootfs/added/a"), Options: []string{"bind"}},
	}
	out, errs, code := b.mounting("stat -c %a /added/b; cat /added/b/deep/file; echo; cat /added/c/deep/file; grep -c ' /added' /proc/mounts; touch /added/b/x", mounts...)
	if out != "701\ntext\n5\n" || code == 0 {
		t.Errorf("keel: %q, %q, %d", out, errs, code)
	}
	if runc, err := exec.LookPath("runc"); err == nil {
		theirs, _ := exec.Command(runc, "--root", b.state+".runc", "run", "-b", b.bundle, "c").Output()
		if string(theirs) != out {
			t.Errorf("runc: %q", theirs)
		}
	}
}

// TestRootTmpfsMode: the root of a tmpfs has the mode of the directory it covers, unless the options
// say otherwise; one that is read-only becomes so after what is mounted in it.
func TestRootTmpfsMode(t *testing.T) {
	b := newBox(t, nil)
	os.MkdirAll(filepath.Join(b.bundle, "rootfs/added"), 0o755)
	os.Mkdir(filepath.Join(b.bundle, "rootfs/added/there"), 0o750)
	out, errs, _ := b.mounting("stat -c %a /added/*; touch /added/there/y; touch /added/there/in/x && echo yes",
		specs.Mount{Destination: "/added/there", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/added/there/in", Type: "tmpfs", Source: "tmpfs"},
		specs.Mount{Destination: "/added/new", Type: "tmpfs", Source: "tmpfs"},
		specs.Mount{Destination: "/added/said", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=711"}})
	if out != "1777\n711\n750\nyes\n" || !strings.Contains(errs, "/added/there/y: Read-only") {
		t.Errorf("%q, %q", out, errs)
	}
}

// TestRootProcStaysProc: nothing but procfs is mounted on or in /proc, however the target is written
// (CVE-2019-16884, CVE-2019-19921); what lxcfs does stays possible.
func TestRootProcStaysProc(t *testing.T) {
	b := newBox(t, nil)
	os.Symlink("/proc/sys", filepath.Join(b.bundle, "rootfs/added"))
	os.WriteFile(filepath.Join(b.bundle, "uptime"), []byte("1.00 1.00\n"), 0o644)
	os.Mkdir(filepath.Join(b.bundle, "dir"), 0o755)
	for want, m := range map[string]specs.Mount{
		`"/proc" cannot be mounted because it is not of type proc`:        {Destination: "/proc", Type: "tmpfs", Source: "added"},
		`"/proc/sys/kernel" cannot be mounted because it is inside /proc`: {Destination: "//proc/./sys/kernel", Type: "tmpfs", Source: "added"},
		"mount tmpfs on /added: operation not permitted":                  {Destination: "/added", Type: "tmpfs", Source: "added"},
		"mount " + b.bundle + "/dir on /added: operation not permitted":   {Destination: "/added", Source: "dir", Options: []string{"bind"}},
		"mount cgroup on /added: operation not permitted":                 {Destination: "/added", Type: "cgroup", Source: "added"},
		"mount " + b.bundle + "/./dir on /proc: operation not permitted":  {Destination: "/proc", Source: "./dir", Options: []string{"bind"}},
		"mount sysfs on /added: too many levels of symbolic links":        {Destination: "/added", Type: "sysfs", Source: "added"},
	} {
		if strings.Contains(want, "/./dir") {
			want = strings.Replace(want, "/./", "/", 1)
		}
		keep := slices.Clone([]specs.Mount{})
		b.config(func(s *specs.Spec) { keep = s.Mounts })
		if _, errs, code := b.mounting("true", m); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%+v: %q, %d; want %q", m, errs, code, want)
		}
		b.config(func(s *specs.Spec) { s.Mounts = keep })
	}
	out, errs, _ := b.mounting("cat /proc/uptime; test -e /proc/self/stat && echo yes", specs.Mount{Destination: "/proc/uptime", Source: "uptime", Options: []string{"bind"}})
	if out != "1.00 1.00\nyes\n" {
		t.Errorf("/proc/uptime: %q, %q", out, errs)
	}
	b.config(func(s *specs.Spec) {
		s.Mounts = []specs.Mount{{Destination: "/proc", Source: "/proc", Options: []string{"rbind"}}}
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	})
	if out, errs, _ := b.run("run", "-b", b.bundle, "c"); !strings.HasSuffix(out, "yes\n") {
		t.Errorf("the host's /proc: %q, %q", out, errs)
	}
}

// TestRootDev: what is made in /dev, whoever brings it; nothing is made in one of the host's.
func TestRootDev(t *testing.T) {
	b := newBox(t, nil, "ls", "/dev")
	const nodes = "full\nnull\nptmx\nrandom\n"
	links := "fd\nfull\n"
	if _, err := os.Stat("/proc/kcore"); err == nil {
		links = "core\nfd\nfull\n"
	}
	check := func(what, out, errs string, inside bool) {
		t.Helper()
		have := strings.Contains(out, "stderr\nstdin\nstdout\ntty\nurandom\nzero\n") && strings.Contains(out, links)
		if have != inside {
			t.Errorf("%s: %q, %q", what, out, errs)
		}
	}
	_ = nodes
	out, errs, _ := b.run("run", "-b", b.bundle, "c")
	check("tmpfs", out, errs, true)
	b.config(func(s *specs.Spec) {
		for i, m := range s.Mounts {
			if m.Destination == "/dev" {
				s.Mounts[i].Options = append(m.Options, "ro")
			}
		}
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "ls /dev; touch /dev/x; echo x > /dev/null"}
	})
	out, errs, _ = b.run("run", "-b", b.bundle, "c")
	check("read-only tmpfs", out, errs, true)
	if !strings.Contains(errs, "/dev/x: Read-only") || strings.Contains(errs, "null") {
		t.Errorf("read-only /dev: %q", errs)
	}
	// No mount on /dev: the root file system's own, with an image's ptmx.
	os.WriteFile(filepath.Join(b.bundle, "rootfs/dev/ptmx"), nil, 0o644)
	b.config(func(s *specs.Spec) {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
		s.Root.Readonly = false
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "ls /dev; readlink /dev/ptmx"}
	})
	out, errs, _ = b.run("run", "-b", b.bundle, "c")
	check("no mount", out, errs, true)
	if !strings.HasSuffix(out, "\npts/ptmx\n") {
		t.Errorf("/dev/ptmx of the image: %q", out)
	}
	os.Mkdir(filepath.Join(b.bundle, "hostdev"), 0o755)
	b.config(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev", Source: "hostdev", Options: []string{"rbind"}})
		s.Process.Args = []string{"/bin/busybox", "ls", "/dev"}
	})
	out, errs, _ = b.run("run", "-b", b.bundle, "c")
	check("bind", out, errs, false)
	if left, _ := os.ReadDir(filepath.Join(b.bundle, "hostdev")); len(left) > 0 {
		t.Errorf("made in a /dev of the host's: %v", left)
	}
}

// optional are the optional fields of mountinfo: what they say of propagation, without the numbers.
var optional = regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ (/added\S*) (\S+) ?(.*?) - `)

// TestRootMountAttributes: propagation and recursive attributes are those of the options, on this
// mount or on all below it, and the same as runc's.
func TestRootMountAttributes(t *testing.T) {
	b := newBox(t, nil)
	script := fmt.Sprintf(`set -e
mount --make-rshared /
mkdir %[1]s/src && mount -t tmpfs x %[1]s/src && mkdir %[1]s/src/sub && mount -t tmpfs -o nosuid y %[1]s/src/sub
%[2]s --root %[3]s run -b %[1]s c
echo ====
! which runc >/dev/null || runc --root %[3]s.runc run -b %[1]s c`, b.bundle, b.keel, b.state)
	var mounts []specs.Mount
	for _, o := range [][]string{{"rbind", "rro"}, {"rbind", "ro"}, {"rbind", "rprivate"}, {"rbind", "private"}, {"rbind", "rslave"}, {"rbind", "rshared"}, {"rbind", "slave", "shared"}, {"bind", "unbindable"},
		{"rbind", "ro", "rw"}, {"rbind", "nodev", "noexec", "nodiratime"}, {"rbind", "noatime"}, {"rbind", "strictatime"}, {"rbind", "rnoexec", "rnodev"}} {
		mounts = append(mounts, specs.Mount{Destination: "/added/" + strings.Join(o, "-"), Source: b.bundle + "/src", Options: o})
	}
	mounts = append(mounts, specs.Mount{Destination: "/added/tmpfs-shared", Type: "tmpfs", Source: "z", Options: []string{"shared", "noexec", "size=1m"}})
	b.config(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, mounts...)
		s.Process.Args = []string{"/bin/busybox", "cat", "/proc/self/mountinfo"}
	})
	out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	table := func(text string) map[string]string {
		m := map[string]string{}
		for _, f := range optional.FindAllStringSubmatch(text, -1) {
			m[f[1]] = f[2] + " " + regexp.MustCompile(`:\d+`).ReplaceAllString(f[3], "")
		}
		return m
	}
	ours, theirs, _ := strings.Cut(string(out), "====")
	keel, runc := table(ours), table(theirs)
	for dest, want := range map[string]string{
		"/added/rbind-rro":                "ro,relatime master",
		"/added/rbind-rro/sub":            "ro,nosuid,relatime master",
		"/added/rbind-ro/sub":             "rw,nosuid,relatime master",
		"/added/rbind-rprivate/sub":       "rw,nosuid,relatime ",
		"/added/rbind-private":            "rw,relatime ",
		"/added/rbind-private/sub":        "rw,nosuid,relatime master",
		"/added/rbind-slave-shared":       "rw,relatime shared master",
		"/added/rbind-rshared/sub":        "rw,nosuid,relatime shared master",
		"/added/bind-unbindable":          "rw,relatime unbindable",
		"/added/rbind-noatime":            "rw,noatime master",
		"/added/rbind-rnoexec-rnodev/sub": "rw,nosuid,nodev,noexec,relatime master",
		"/added/tmpfs-shared":             "rw,noexec,relatime shared",
	} {
		if keel[dest] != want {
			t.Errorf("%s: %q, want %q", dest, keel[dest], want)
		}
	}
	if len(keel) < 24 || len(runc) > 0 && len(keel) != len(runc) {
		t.Errorf("%d mounts with keel, %d with runc:\n%s", len(keel), len(runc), out)
	}
	for dest, theirs := range runc {
		if keel[dest] != theirs {
			t.Errorf("%s: keel %q, runc %q", dest, keel[dest], theirs)
		}
	}
}

// TestRootWithoutMountNamespace: a container in the host's mount namespace has its own root and
// mounts, and the host sees none of them, neither while it runs nor afterwards.
func TestRootWithoutMountNamespace(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	}, "sleep", "1000")
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	b.config(func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/busybox", Args: []string{"sh", "-c", "test ! -e /etc && /bin/busybox cat >/dev/null"}}}}
	})
	b.create("c")
	b.ok("start", "c")
	_, pid := b.status("c")
	ns, _ := os.Readlink("/proc/self/ns/mnt")
	if got, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid)); got != ns {
		t.Errorf("mount namespace %s, the host's is %s", got, ns)
	}
	if got := b.in("ls /; cat /proc/1/comm; echo x > /dev/null; touch /x; cat /sys/kernel/uevent_seqnum >/dev/null && echo sys"); !strings.HasSuffix(got, "tmp\nbusybox\nsys") || strings.Contains(got, "etc") {
		t.Errorf("inside: %q", got)
	}
	check := func(when string) {
		t.Helper()
		after, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(after)) {
			if strings.Contains(line, b.bundle) && !strings.Contains(string(before), line) {
				t.Errorf("%s the host has %s", when, line)
			}
		}
	}
	check("while it runs")
	b.ok("delete", "--force", "c")
	check("afterwards")
	if left, _ := os.ReadDir(filepath.Join(b.bundle, "rootfs/dev")); len(left) > 0 {
		t.Errorf("left in the root: %v", left)
	}
}

// TestRootCgroupMount: the container finds its own groups, by the names that the host has, the same
// with and without a cgroup namespace, and as with runc.
func TestRootCgroupMount(t *testing.T) {
	b := newBox(t, nil, "sh", "-c", `grep -c ^1$ /sys/fs/cgroup/*/cgroup.procs; grep ' /sys/fs/cgroup/' /proc/self/mountinfo | cut -d' ' -f5,6,8,10- | sort; touch /sys/fs/cgroup/x`)
	for _, with := range []bool{false, true} {
		b.config(func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
			if with {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
			}
		})
		ours, errs, _ := b.run("run", "-b", b.bundle, "c")
		if !strings.Contains(ours, "cgroup.procs:1\n") || strings.Contains(ours, "cgroup.procs:0\n") || !strings.Contains(errs, "Read-only") {
			t.Errorf("cgroup namespace %v: %q, %q", with, ours, errs)
		}
		if runc, err := exec.LookPath("runc"); err == nil {
			theirs, _ := exec.Command(runc, "--root", b.state+".runc", "run", "-b", b.bundle, "c").Output()
			if string(theirs) != ours {
				t.Errorf("cgroup namespace %v:\nkeel %s\nrunc %s", with, ours, theirs)
			}
		}
	}
	b.config(func(s *specs.Spec) {
		s.Mounts[len(s.Mounts)-1] = specs.Mount{Destination: "/added", Type: "cgroup2", Source: "cgroup2", Options: []string{"ro"}}
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "cat /added/cgroup.procs; grep ' /added ' /proc/mounts"}
	})
	if out, errs, _ := b.run("run", "-b", b.bundle, "c"); !strings.HasPrefix(out, "1\n") || !strings.Contains(out, "/added cgroup2 ro,") {
		t.Errorf("cgroup2: %q, %q", out, errs)
	}
}

// TestRootCreateContainerHook: the hook has the host's files, and the container's mounts below
// root.path, in the container's mount namespace.
func TestRootCreateContainerHook(t *testing.T) {
	b := newBox(t, nil, "cat", "/tmp/made")
	log := filepath.Join(b.bundle, "log")
	b.config(func(s *specs.Spec) {
		root := filepath.Join(b.bundle, "rootfs")
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"})
		s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Env: []string{"PATH=/usr/bin:/bin"}, Args: []string{"sh", "-c",
			fmt.Sprintf("cat >/dev/null; test -e /etc/passwd && stat -f -c %%T %[1]s/proc %[1]s/dev > %[2]s; echo hook > %[1]s/tmp/made", root, log)}}}}
	})
	if out, errs, _ := b.run("run", "-b", b.bundle, "c"); out != "hook\n" {
		t.Errorf("%q, %q", out, errs)
	}
	if got, _ := os.ReadFile(log); string(got) != "proc\ntmpfs\n" {
		t.Errorf("the hook saw %q", got)
	}
}
