package keel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// userID is an ordinary user, who exists only in the mount namespaces of these tests.
const userID = 61234

// userBox is a bundle of an ordinary user, made by `keel spec --rootless`.
type userBox struct {
	t      *testing.T
	dir    string // /tmp/…, which the user can reach
	bundle string
}

// newUserBox makes the bundle. With subids the user has ids 700000 to 765535 besides his own.
func newUserBox(t *testing.T, subids bool, change func(*specs.Spec), args ...string) *userBox {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hull-user")
	if err != nil {
		t.Fatal(err)
	}
	b := &userBox{t: t, dir: dir, bundle: dir + "/home/bundle"}
	t.Cleanup(func() {
		for id := range strings.FieldsSeq(b.ok("list", "-q")) {
			b.ok("delete", "--force", id)
		}
		if left, _ := os.ReadDir(dir + "/run/keel"); len(left) > 0 {
			t.Errorf("left in the state directory: %v", left)
		}
		os.RemoveAll(dir)
	})
	copyFile := func(from, to string, mode os.FileMode) {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o755)
	for _, d := range []string{"run", "home/bundle/rootfs/bin", "home/bundle/rootfs/proc", "home/bundle/rootfs/sys", "home/bundle/rootfs/dev", "home/bundle/rootfs/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(os.Getenv("HULL_KEEL"), dir+"/keel", 0o755)
	copyFile("/bin/busybox", b.bundle+"/rootfs/bin/busybox", 0o755)
	own := fmt.Sprintf("hulluser:x:%d:%d::%s/home:/bin/sh\n", userID, userID, dir)
	passwd, _ := os.ReadFile("/etc/passwd")
	os.WriteFile(dir+"/passwd", append(passwd, own...), 0o644)
	sub := ""
	if subids {
		sub = "hulluser:700000:65536\n"
	}
	os.WriteFile(dir+"/subids", []byte(sub), 0o644)
	for _, d := range []string{"run", "home"} {
		filepath.Walk(filepath.Join(dir, d), func(name string, _ os.FileInfo, _ error) error { return os.Lchown(name, userID, userID) })
	}
	b.ok("spec", "--rootless", "-b", b.bundle)
	b.config(func(s *specs.Spec) {
		s.Process.Terminal = false
		s.Process.Args = append([]string{"/bin/busybox"}, args...)
		if subids {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: userID, Size: 1}, {ContainerID: 1, HostID: 700000, Size: 65536}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		}
		if change != nil {
			change(s)
		}
	})
	return b
}

func (b *userBox) config(change func(*specs.Spec)) { (&box{t: b.t, bundle: b.bundle}).config(change) }

// command is keel, called by the user, in a mount namespace where he has a name.
func (b *userBox) command(before string, args ...string) *exec.Cmd {
	script := `mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/subids" /etc/subuid && mount --bind "$0/subids" /etc/subgid &&
exec setpriv --reuid ` + strconv.Itoa(userID) + ` --regid ` + strconv.Itoa(userID) + ` --clear-groups ` + before + ` "$0/keel" "$@"`
	cmd := exec.Command("unshare", append([]string{"-m", "--propagation", "private", "sh", "-c", script, b.dir}, args...)...)
	cmd.Env = []string{"XDG_RUNTIME_DIR=" + b.dir + "/run", "PATH=" + os.Getenv("PATH"), "HOME=" + b.dir + "/home", "USER=hulluser"}
	cmd.Dir = "/"
	return cmd
}

func (b *userBox) run(args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	return b.output(b.command("", args...))
}

func (b *userBox) output(cmd *exec.Cmd) (stdout, stderr string, code int) {
	b.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		b.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (b *userBox) ok(args ...string) string {
	b.t.Helper()
	out, errs, code := b.run(args...)
	if code != 0 {
		b.t.Fatalf("keel %q: status %d: %s", args, code, errs)
	}
	return out
}

// refused wants a failure whose last line has text, and nothing left.
func (b *userBox) refused(text string, args ...string) {
	b.t.Helper()
	_, errs, code := b.run(args...)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	if last := lines[len(lines)-1]; code == 0 || !strings.HasPrefix(last, "keel: ") || !strings.Contains(last, text) {
		b.t.Errorf("keel %q: status %d, %q; want %q", args, code, errs, text)
	}
	if args[0] == "run" {
		if left, _ := os.ReadDir(b.dir + "/run/keel"); len(left) > 0 && !(len(left) == 1 && left[0].Name() == "@seccomp") {
			b.t.Errorf("left in the state directory: %v", left)
		}
	}
}

func (b *userBox) says(want ...string) {
	b.t.Helper()
	out, errs, code := b.run("run", "-b", b.bundle, "says")
	if code != 0 || strings.TrimSpace(out) != strings.Join(want, "\n") {
		b.t.Errorf("status %d, %s\n%s\nwant:\n%s", code, errs, strings.TrimSpace(out), strings.Join(want, "\n"))
	}
}

func (b *userBox) create(id string) {
	b.t.Helper()
	cmd := b.command("", "create", "-b", b.bundle, id)
	errs, err := os.CreateTemp(b.t.TempDir(), "err")
	if err != nil {
		b.t.Fatal(err)
	}
	defer errs.Close()
	cmd.Stderr = errs // a file: the container keeps it open
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(errs.Name())
		b.t.Fatalf("keel create: %v: %s", err, text)
	}
}

// hasCgroups says whether this host lets the user make cgroups after all.
func (b *userBox) hasCgroups(id string) bool {
	text, err := os.ReadFile(b.dir + "/run/keel/" + id + "/state.json")
	if err != nil {
		b.t.Fatal(err)
	}
	return !strings.Contains(string(text), `"cgroup_paths":{}`)
}

func (b *userBox) status(id string) string {
	b.t.Helper()
	var s struct{ Status string }
	if err := json.Unmarshal([]byte(b.ok("state", id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s.Status
}

// TestRootUserLife is the life of a container of a user with no ids but his own, on a host that
// gives him no cgroups.
func TestRootUserLife(t *testing.T) {
	b := newUserBox(t, false, nil, "sleep", "600")
	b.create("c")
	if s := b.status("c"); s != "created" {
		t.Errorf("after create: %s", s)
	}
	b.refused("cannot exec in a container that was not started, as an ordinary user", "exec", "c", "/bin/busybox", "true")
	b.ok("start", "c")
	if out := b.ok("exec", "c", "/bin/busybox", "sh", "-c", "/bin/busybox id; echo $$; /bin/busybox cat /proc/self/uid_map /proc/self/setgroups"); strings.Join(strings.Fields(out), " ") != "uid=0 gid=0 2 0 61234 1 deny" {
		t.Errorf("exec: %q", out)
	}
	b.ok("exec", "-d", "c", "/bin/busybox", "sleep", "600")
	if !b.hasCgroups("c") {
		var pids []int
		waitFor(t, func() bool { // exec returns at execve, the process shows its arguments later
			if err := json.Unmarshal([]byte(b.ok("ps", "--format", "json", "c")), &pids); err != nil {
				t.Fatal(err)
			}
			return len(pids) == 2
		})
		b.refused("the container has no freezer cgroup", "pause", "c")
		b.refused("the container has no group in the pids hierarchy", "update", "--pids-limit", "5", "c")
	}
	if out := b.ok("list"); !strings.Contains(out, "hulluser") {
		t.Errorf("list: %q", out)
	}
	b.ok("kill", "c", "0")
	b.ok("kill", "--all", "c", "KILL")
	waitFor(t, func() bool { return b.status("c") == "stopped" })
	b.ok("delete", "c")
}

// TestRootUserKillAll: without a cgroup the processes are those of the pid namespace. The shells
// would say what ended their child, and die for want of somebody who reads it.
func TestRootUserKillAll(t *testing.T) {
	b := newUserBox(t, true, func(s *specs.Spec) { s.Root.Readonly = false }, "sh", "-c", "exec 2> /dev/null; trap 'echo got > /tmp/init' USR1; echo up > /tmp/up; while true; do /bin/busybox sleep 0.02; done")
	file := func(name string) func() bool {
		return func() bool { _, err := os.Stat(b.bundle + "/rootfs/tmp/" + name); return err == nil }
	}
	os.Chmod(b.bundle+"/rootfs/tmp", 0o777)
	b.create("c")
	b.ok("start", "c")
	waitFor(t, file("up"))
	b.ok("exec", "-d", "-u", "7", "c", "/bin/busybox", "sh", "-c", "exec 2> /dev/null; trap 'echo got > /tmp/other' USR1; echo up > /tmp/other-up; while true; do /bin/busybox sleep 0.02; done")
	waitFor(t, file("other-up"))
	b.ok("kill", "--all", "c", "USR1")
	waitFor(t, file("init"))
	waitFor(t, file("other"))
}

// TestRootUserSubordinateIDs: newuidmap and newgidmap map more than one id.
func TestRootUserSubordinateIDs(t *testing.T) {
	b := newUserBox(t, true, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}}
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "/bin/busybox id; /bin/busybox cat /proc/self/setgroups; /bin/busybox stat -c %u /bin/busybox"}
	})
	b.says("uid=5 gid=6 groups=6,7", "allow", "0")
	b.config(func(s *specs.Spec) {
		s.Process.User = specs.User{}
		s.Process.Args = []string{"/bin/busybox", "sleep", "600"}
	})
	b.create("c")
	b.ok("start", "c")
	if out := b.ok("exec", "-u", "8:9", "-g", "10", "c", "/bin/busybox", "id"); out != "uid=8 gid=9 groups=9,10\n" {
		t.Errorf("exec: %q", out)
	}
	b.ok("delete", "-f", "c")

	b.config(func(s *specs.Spec) { s.Linux.UIDMappings[1].HostID = 800000 })
	b.refused("map the ids of the user namespace (linux.uidMappings): newuidmap failed: ", "run", "-b", b.bundle, "c")
	b.config(func(s *specs.Spec) { s.Linux.UIDMappings[1].HostID = 700000; s.Linux.GIDMappings[1].HostID = 900000 })
	b.refused("map the ids of the user namespace (linux.gidMappings): newgidmap failed: ", "run", "-b", b.bundle, "c")
	b.config(func(s *specs.Spec) { s.Linux.GIDMappings[1].HostID = 700000 })
	_, errs, code := b.output(b.command("env PATH=/nowhere", "run", "-b", b.bundle, "c"))
	if code == 0 || !strings.Contains(errs, "an ordinary user needs newuidmap") {
		t.Errorf("without newuidmap: status %d, %q", code, errs)
	}
}

// TestRootUserGroups: setgroups is denied with one id, so further groups are refused, not left
// out in silence.
func TestRootUserGroups(t *testing.T) {
	b := newUserBox(t, false, nil, "sleep", "600")
	b.create("c")
	b.ok("start", "c")
	b.refused("setgroups is denied", "exec", "-g", "0", "c", "/bin/busybox", "true")
	b.ok("delete", "-f", "c")
	b.config(func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} })
	b.refused("process.user.additionalGids: setgroups is denied in the container's user namespace", "run", "-b", b.bundle, "c")
}

func TestRootUserRefused(t *testing.T) {
	b := newUserBox(t, false, nil, "true")
	b.config(func(s *specs.Spec) { s.Linux.CgroupsPath = "/hull-test-user" })
	b.refused("create the cgroup", "run", "-b", b.bundle, "c")
	b.config(func(s *specs.Spec) {
		s.Linux.CgroupsPath = ""
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}}
	})
	b.refused("linux.resources.pids.limit", "run", "-b", b.bundle, "c")
	b.config(func(s *specs.Spec) {
		s.Linux.Resources = nil
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Type: "bind", Source: "/etc", Options: []string{"rbind", "idmap"}})
	})
	b.refused("an id-mapped mount needs CAP_SYS_ADMIN on the host", "run", "-b", b.bundle, "c")
	b.config(func(s *specs.Spec) {
		s.Mounts[len(s.Mounts)-1] = specs.Mount{Destination: "/m", Type: "bind", Source: "/root/.", Options: []string{"rbind"}}
	})
	b.refused("permission denied", "run", "-b", b.bundle, "c")
	b.config(func(s *specs.Spec) {
		s.Mounts = s.Mounts[:len(s.Mounts)-1]
		without(s, specs.UserNamespace)
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	})
	b.refused("rootless container requires user namespaces", "run", "-b", b.bundle, "c")
}

func ptr[T any](v T) *T { return &v }

// TestRootUserMounts: binds of files and directories, what the host has locked, tmpfs with a
// copy, no file of the host's cgroups to write (CVE-2023-25809).
func TestRootUserMounts(t *testing.T) {
	b := newUserBox(t, true, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts,
			specs.Mount{Destination: "/d", Type: "bind", Source: "data", Options: []string{"rbind", "ro"}},
			specs.Mount{Destination: "/f", Type: "bind", Source: "data/f", Options: []string{"bind", "rw", "noatime"}},
			specs.Mount{Destination: "/locked", Type: "bind", Source: "/mnt", Options: []string{"bind", "rw", "suid", "dev"}},
			specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
		shell(s, `/bin/busybox cat /d/f /f /up/f; /bin/busybox stat -c '%u:%g %a' /up/f
/bin/busybox touch /d/x 2>/dev/null || echo d-read-only; echo more >> /f && echo f-written; echo new > /up/new && echo up-written
/bin/busybox grep ' /locked ' /proc/mounts | /bin/busybox cut -d' ' -f4 | /bin/busybox cut -d, -f1-3
for d in /sys/fs/cgroup /sys/fs/cgroup/*; do /bin/busybox mkdir $d/hull-user-probe 2>&1 && echo made; done | /bin/busybox grep -v -c 'Read-only'`)
	})
	for _, d := range []string{b.bundle + "/data", b.bundle + "/rootfs/up"} {
		os.Mkdir(d, 0o755)
		os.WriteFile(d+"/f", []byte("content\n"), 0o600)
		os.Chown(d, userID, userID)
		os.Chown(d+"/f", userID, userID)
	}
	cmd := b.command("", "run", "-b", b.bundle, "c")
	cmd.Args[6] = "mount -t tmpfs -o ro,nosuid,nodev x /mnt && " + cmd.Args[6]
	out, errs, _ := b.output(cmd)
	want := "content\ncontent\ncontent\n0:0 600\nd-read-only\nf-written\nup-written\nro,nosuid,nodev\n0\n"
	if out != want {
		t.Errorf("%s\n%q\nwant:\n%q", errs, out, want)
	}
	if text, _ := os.ReadFile(b.bundle + "/data/f"); string(text) != "content\nmore\n" {
		t.Errorf("the file outside: %q", text)
	}
}

// TestRootUserHooks: of an ordinary user, in the container's namespaces where they belong, at
// create, start and run.
func TestRootUserHooks(t *testing.T) {
	b := newUserBox(t, true, nil, "sleep", "600")
	log := b.dir + "/home/log"
	host := func(word string) specs.Hook {
		return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + word + " $(id -u) $(readlink /proc/self/ns/user) >> " + log}, Env: []string{"PATH=/usr/bin:/bin"}}
	}
	own, _ := os.Readlink("/proc/self/ns/user")
	b.config(func(s *specs.Spec) {
		s.Root.Readonly = false
		caps := append(s.Process.Capabilities.Bounding, "CAP_SYS_ADMIN") // for the startContainer hook, which has the container's
		s.Process.Capabilities.Bounding, s.Process.Capabilities.Permitted, s.Process.Capabilities.Effective = caps, caps, caps
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{host("createRuntime")}, CreateContainer: []specs.Hook{host("createContainer")},
			StartContainer: []specs.Hook{{Path: "/bin/busybox", Args: []string{"busybox", "sh", "-c", "echo $(/bin/busybox id -u) > /tmp/start; /bin/busybox hostname hooked"}}},
			Poststart:      []specs.Hook{host("poststart")}}
	})
	b.create("c")
	b.ok("start", "c")
	if out := b.ok("exec", "c", "/bin/busybox", "sh", "-c", "/bin/busybox cat /tmp/start; /bin/busybox hostname; /bin/busybox readlink /proc/self/ns/user"); !strings.HasPrefix(out, "0\nhooked\nuser:") {
		t.Errorf("the startContainer hook: %q", out)
	}
	text, _ := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 3 || lines[0] != "createRuntime 61234 "+own || !strings.HasPrefix(lines[1], "createContainer 0 user:") || strings.Contains(lines[1], own) || lines[2] != "poststart 61234 "+own {
		t.Errorf("hooks: %q", lines)
	}
	b.ok("delete", "-f", "c")
	b.config(func(s *specs.Spec) { s.Hooks.CreateContainer[0].Args = []string{"sh", "-c", "exit 3"} })
	b.refused("run hooks.createContainer[0]", "run", "-b", b.bundle, "c")
}

// TestRootUserInitIsClosed: until it has executed the program, only the kernel and root of the
// host see what the container's process has (CVE-2016-9962).
func TestRootUserInitIsClosed(t *testing.T) {
	b := newUserBox(t, false, nil, "sleep", "600")
	b.create("c")
	var s struct{ Pid int }
	if err := json.Unmarshal([]byte(b.ok("state", "c")), &s); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--reuid", strconv.Itoa(userID), "--regid", strconv.Itoa(userID), "--clear-groups", "ls", "/proc/"+strconv.Itoa(s.Pid)+"/fd")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("its descriptors can be seen: %s", out)
	}
}

func TestRootUserTerminal(t *testing.T) {
	b := newUserBox(t, false, func(s *specs.Spec) {
		s.Process.Terminal = true
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "/bin/busybox tty; test -c /dev/console && echo console"}
	})
	l, err := net.Listen("unix", b.dir+"/run/console")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	os.Chown(b.dir+"/run/console", userID, userID)
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		f, _ := c.(*net.UnixConn).File()
		oob := make([]byte, 64)
		_, n, _, _, err := unix.Recvmsg(int(f.Fd()), make([]byte, 64), oob, 0)
		if err != nil {
			got <- err.Error()
			return
		}
		msgs, _ := unix.ParseSocketControlMessage(oob[:n])
		fds, _ := unix.ParseUnixRights(&msgs[0])
		m := os.NewFile(uintptr(fds[0]), "master")
		text := ""
		for buf := make([]byte, 256); ; {
			n, err := m.Read(buf)
			text += string(buf[:n])
			if err != nil {
				break
			}
		}
		got <- text
	}()
	b.ok("run", "-d", "--console-socket", b.dir+"/run/console", "-b", b.bundle, "c")
	select {
	case text := <-got:
		if text != "/dev/pts/0\r\nconsole\r\n" {
			t.Errorf("the terminal: %q", text)
		}
	case <-time.After(5 * time.Second):
		t.Error("no terminal came")
	}
}

// TestRootUserNamespacesByPath: a user joins namespaces that belong to a user namespace of his.
func TestRootUserNamespacesByPath(t *testing.T) {
	b := newUserBox(t, false, nil, "sleep", "600")
	b.create("first")
	b.ok("start", "first")
	var s struct{ Pid int }
	if err := json.Unmarshal([]byte(b.ok("state", "first")), &s); err != nil {
		t.Fatal(err)
	}
	ns := "/proc/" + strconv.Itoa(s.Pid) + "/ns/"
	b.config(func(c *specs.Spec) {
		c.Linux.UIDMappings, c.Linux.GIDMappings = nil, nil
		for i := range c.Linux.Namespaces {
			n := &c.Linux.Namespaces[i]
			kinds := map[specs.LinuxNamespaceType]string{specs.UserNamespace: "user", specs.PIDNamespace: "pid", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}
			if kind := kinds[n.Type]; kind != "" {
				n.Path = ns + kind
			}
		}
		c.Hostname = ""
		shell(c, reportNS)
	})
	out, errs, code := b.run("run", "-b", b.bundle, "second")
	for _, kind := range []string{"user", "pid", "ipc", "uts"} {
		want, _ := os.Readlink(ns + kind)
		if !strings.Contains(out, kind+" "+want+"\n") {
			t.Errorf("status %d, %s%s\nwant %s %s", code, errs, out, kind, want)
		}
	}
}

// TestRootInUserNamespace: root of a user namespace, with and without a mount namespace that
// belongs to it, and with a further user namespace for the container.
func TestRootInUserNamespace(t *testing.T) {
	b := newUserBox(t, false, func(s *specs.Spec) { shell(s, "/bin/busybox id; echo $(/bin/busybox cat /proc/self/uid_map)") })
	run := func(how string) string {
		out, errs, code := b.output(b.command(how, "run", "-b", b.bundle, "c"))
		return fmt.Sprint(strings.TrimSpace(out), " ", code, notWarnings(errs))
	}
	nested := "uid=0 gid=0\n0 0 1 0"
	b.config(func(s *specs.Spec) {
		s.Linux.UIDMappings[0].HostID, s.Linux.GIDMappings[0].HostID = 0, 0
	})
	for _, how := range []string{"unshare -Ur", "unshare -Urm"} {
		if got := run(how); got != nested {
			t.Errorf("%s, with a user namespace: %s", how, got)
		}
	}
	b.config(func(s *specs.Spec) {
		without(s, specs.UserNamespace)
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	})
	for _, how := range []string{"unshare -Ur", "unshare -Urm"} {
		if got := run(how); got != "uid=0 gid=0\n0 61234 1 0" {
			t.Errorf("%s: %s", how, got)
		}
	}
	// The runtime's pid namespace is the host's, which root here may not enter: create and exec
	// must do without coming back from another one.
	b.config(func(s *specs.Spec) { s.Process.Args = []string{"/bin/busybox", "sleep", "600"} })
	cmd := b.command("unshare -Urm sh -c '\"$0\" run -d -b \"$1\" e >/dev/null 2>&1 && \"$0\" exec e /bin/busybox sh -c \"exit 42\"; echo $?; \"$0\" delete -f e'", b.bundle)
	if out, errs, code := b.output(cmd); code != 0 || out != "42\n" {
		t.Errorf("exec: status %d, %q, %q; want the program's 42", code, out, errs)
	}
	b.config(func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} })
	if got := run("unshare -Ur"); !strings.Contains(got, "setgroups is denied in the runtime's user namespace") {
		t.Errorf("with further groups: %s", got)
	}
}

// notWarnings are the lines that are no warnings.
func notWarnings(stderr string) string {
	lines := slices.DeleteFunc(strings.Split(stderr, "\n"), func(l string) bool { return strings.HasPrefix(l, "keel: warning: ") })
	return strings.Join(lines, "\n")
}
