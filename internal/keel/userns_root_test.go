package keel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ownUserns gives a configuration a user namespace of its own, in which ids begin at 100000.
func ownUserns(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = s.Linux.UIDMappings
}

// shell is a busybox shell with a script, and busybox in its path.
func shell(s *specs.Spec, script string) {
	s.Process.Args = []string{"/bin/busybox", "sh", "-c", script}
	s.Root.Readonly = false
}

// grant adds capabilities to those of the process.
func grant(s *specs.Spec, names ...string) {
	c := s.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
		*set = append(*set, names...)
	}
}

// without takes namespaces out of a configuration: those of the host are used.
func without(s *specs.Spec, types ...specs.LinuxNamespaceType) {
	var kept []specs.LinuxNamespace
	for _, n := range s.Linux.Namespaces {
		drop := false
		for _, t := range types {
			drop = drop || n.Type == t
		}
		if !drop {
			kept = append(kept, n)
		}
	}
	s.Linux.Namespaces = kept
}

// give makes the root belong to root of the user namespace.
func (b *box) give(uid int) {
	b.t.Helper()
	err := filepath.Walk(filepath.Join(b.bundle, "rootfs"), func(name string, _ os.FileInfo, err error) error {
		if err == nil {
			err = os.Lchown(name, uid, uid)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// says runs the container and wants exactly these lines of it.
func (b *box) says(want ...string) {
	b.t.Helper()
	out, errs, code := b.run("run", "-b", b.bundle, "says")
	if code != 0 || strings.TrimSpace(out) != strings.Join(want, "\n") {
		b.t.Errorf("status %d, %s\n%s\nwant:\n%s", code, errs, strings.TrimSpace(out), strings.Join(want, "\n"))
	}
}

// nothing wants a refused run, and that it has left nothing in the state directory.
func (b *box) nothing(text string) {
	b.t.Helper()
	b.refused(1, text, "run", "-b", b.bundle, "nothing")
	if left, _ := filepath.Glob(filepath.Join(b.state, "nothing")); len(left) > 0 {
		b.t.Errorf("left in the state directory: %v", left)
	}
}

// holder is a process that keeps namespaces alive; name gives their paths.
func holder(t *testing.T, flags uintptr, first int) (name func(kind string) string) {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "sleep", "600")
	m := []syscall.SysProcIDMap{{ContainerID: first, HostID: 200000, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, UidMappings: m, GidMappings: m, GidMappingsEnableSetgroups: true, Pdeathsig: syscall.SIGKILL}
	if flags&unix.CLONE_NEWUSER == 0 {
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = nil, nil
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return func(kind string) string { return "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/" + kind }
}

const reportNS = `cd /proc/self/ns; for n in user pid net ipc uts; do echo $n $(/bin/busybox readlink $n); done; echo $(/bin/busybox cat /proc/self/uid_map) $(/bin/busybox id)`

// TestRootJoinUserNamespace: alone, the other namespaces are made and belong to it; with the
// others by path, the process is in all of them; and exec enters the same.
func TestRootJoinUserNamespace(t *testing.T) {
	const all = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	name := holder(t, all, 0)
	link := func(kind string) string {
		l, err := os.Readlink(name(kind))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: name("user")})
		s.Hostname = "joined"
		shell(s, reportNS)
	})
	out := b.ok("run", "-b", b.bundle, "c")
	if !strings.Contains(out, "user "+link("user")) || !strings.HasSuffix(strings.TrimSpace(out), "0 200000 65536 uid=0 gid=0 groups=0") {
		t.Errorf("the user namespace alone: %s\nwant %s", out, link("user"))
	}
	for _, kind := range []string{"pid", "net", "ipc", "uts"} {
		if own, _ := os.Readlink("/proc/self/ns/" + kind); strings.Contains(out, link(kind)) || strings.Contains(out, own) {
			t.Errorf("the %s namespace is not a new one: %s", kind, out)
		}
	}

	b.config(func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			n := &s.Linux.Namespaces[i]
			for kind, t := range map[string]specs.LinuxNamespaceType{"pid": specs.PIDNamespace, "net": specs.NetworkNamespace, "ipc": specs.IPCNamespace, "uts": specs.UTSNamespace} {
				if n.Type == t {
					n.Path = name(kind)
				}
			}
		}
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}} // as engines repeat them
		s.Linux.GIDMappings = s.Linux.UIDMappings
		s.Process.Args = []string{"/bin/busybox", "sleep", "600"}
	})
	b.create("c")
	b.ok("start", "c")
	out = b.ok("exec", "c", "/bin/busybox", "sh", "-c", reportNS)
	for _, kind := range []string{"user", "pid", "net", "ipc", "uts"} {
		if !strings.Contains(out, kind+" "+link(kind)+"\n") {
			t.Errorf("%s is not that of the path, %s:\n%s", kind, link(kind), out)
		}
	}
	_, pid := b.status("c")
	for _, kind := range []string{"user", "pid", "net", "ipc", "uts"} {
		if got, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind); got != link(kind) {
			t.Errorf("init's %s is %s, %v; want %s", kind, got, err, link(kind))
		}
	}
	b.ok("delete", "-f", "c")
}

// TestRootJoinUserNamespaceAlone is the case without a pid namespace, where no second process
// is needed, and a terminal.
func TestRootJoinUserNamespaceAlone(t *testing.T) {
	name := holder(t, unix.CLONE_NEWUSER|unix.CLONE_NEWPID, 0)
	b := newBox(t, func(s *specs.Spec) {
		without(s, specs.PIDNamespace, specs.IPCNamespace)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: name("user")})
		s.Mounts = s.Mounts[1:3] // /dev, /dev/pts
		shell(s, "/bin/busybox id; /bin/busybox ls -ln /dev/pts/ptmx | /bin/busybox cut -c1-37")
	})
	b.says("uid=0 gid=0 groups=0", "crw-rw-rw-    1 0        0")
}

// TestRootNewUserNamespaceJoinsHosts: a new user namespace, and others by path that are the
// host's, which its root has no right to enter.
func TestRootNewUserNamespaceJoinsHosts(t *testing.T) {
	name := holder(t, unix.CLONE_NEWNET|unix.CLONE_NEWIPC|unix.CLONE_NEWPID, 0)
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		for i := range s.Linux.Namespaces {
			n := &s.Linux.Namespaces[i]
			switch n.Type {
			case specs.NetworkNamespace:
				n.Path = name("net")
			case specs.IPCNamespace:
				n.Path = name("ipc")
			}
		}
		var kept []specs.Mount
		for _, m := range s.Mounts {
			if m.Type != "mqueue" {
				kept = append(kept, m)
			}
		}
		s.Mounts = kept
		shell(s, reportNS)
	})
	out, errs, code := b.run("run", "-b", b.bundle, "c")
	for _, kind := range []string{"net", "ipc"} {
		if want, _ := os.Readlink(name(kind)); !strings.Contains(out, kind+" "+want+"\n") {
			t.Errorf("%s is not %s", kind, want)
		}
	}
	if code != 0 || !strings.HasSuffix(strings.TrimSpace(out), "0 100000 65536 uid=0 gid=0 groups=0") {
		t.Errorf("status %d, %s%s", code, errs, out)
	}
}

func TestRootJoinUserNamespaceRefused(t *testing.T) {
	name := holder(t, unix.CLONE_NEWUSER, 0)
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: name("user")})
	}, "true")
	b.config(func(s *specs.Spec) { s.Process.User.UID = 70000 })
	b.nothing("process.user.uid: 70000 is not mapped in the container's user namespace")
	b.config(func(s *specs.Spec) { s.Process.User.UID = 0; s.Process.User.AdditionalGids = []uint32{3, 70000} })
	b.nothing("process.user.additionalGids[1]: 70000 is not mapped")
	b.config(func(s *specs.Spec) {
		s.Process.User.AdditionalGids = nil
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 10}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}}
	})
	b.nothing("linux.uidMappings: not those of the user namespace to join")
	b.config(func(s *specs.Spec) {
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		s.Linux.Namespaces[len(s.Linux.Namespaces)-1].Path = name("net")
	})
	b.nothing("is not a user namespace")
	gap := holder(t, unix.CLONE_NEWUSER, 1)
	b.config(func(s *specs.Spec) { s.Linux.Namespaces[len(s.Linux.Namespaces)-1].Path = gap("user") })
	b.nothing("does not map 0")
}

// TestRootJoinTimeNamespace: only a process with one thread may enter one.
func TestRootJoinTimeNamespace(t *testing.T) {
	cmd := exec.Command("unshare", "--time", "--boottime", "90000000", "/bin/busybox", "sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	path := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/time_for_children"
	own, _ := os.Readlink("/proc/self/ns/time")
	waitFor(t, func() bool { l, _ := os.Readlink(path); return l != own })
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: path})
		shell(s, "read up rest < /proc/uptime; test ${up%.*} -gt 90000000 && echo late")
	})
	b.says("late")
}

func TestRootUsernsMounts(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { ownUserns(s); shell(s, "true") })
	b.give(100000)

	t.Run("what the host has read-only stays so", func(t *testing.T) {
		ro := filepath.Join(b.bundle, "ro")
		os.Mkdir(ro, 0o777)
		b.config(func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/ro", Type: "bind", Source: "/rosource", Options: []string{"rbind", "rw"}})
			grant(s, "CAP_SYS_ADMIN")
			shell(s, "/bin/busybox mount -o remount,rw,bind /ro && echo remounted; /bin/busybox touch /ro/x && echo written; true")
		})
		out, err := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c",
			`mount -t tmpfs x /mnt && mkdir -p /mnt/a && mount --bind "$1/ro" /mnt/a && mount -o remount,bind,ro /mnt/a && sed -i s,/rosource,/mnt/a, "$1/config.json" && "$2" --root "$3" run -b "$1" ro`,
			"sh", b.bundle, b.keel, b.state).CombinedOutput()
		if err != nil || strings.Contains(string(out), "remounted") || strings.Contains(string(out), "written") || !strings.Contains(string(out), "Read-only") {
			t.Errorf("%v: %s", err, out)
		}
		b.config(func(s *specs.Spec) { s.Mounts = s.Mounts[:len(s.Mounts)-1] })
	})

	t.Run("a source that the container's root cannot reach", func(t *testing.T) {
		closed := filepath.Join(b.bundle, "closed")
		os.MkdirAll(filepath.Join(closed, "in"), 0o755)
		os.WriteFile(filepath.Join(closed, "in/f"), []byte("reached\n"), 0o644)
		os.Chmod(closed, 0o700)
		b.config(func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/d", Type: "bind", Source: "closed/in", Options: []string{"rbind", "ro"}},
				specs.Mount{Destination: "/f", Type: "bind", Source: filepath.Join(closed, "in/f"), Options: []string{"bind"}})
			shell(s, "/bin/busybox cat /d/f /f; /bin/busybox touch /d/x 2>/dev/null || echo read-only")
		})
		b.says("reached", "reached", "read-only")
		b.config(func(s *specs.Spec) { s.Mounts[len(s.Mounts)-1].Source = "/nonexistent" })
		b.nothing("no such file")
		b.config(func(s *specs.Spec) { s.Mounts = s.Mounts[:len(s.Mounts)-2] })
	})

	t.Run("the host's sysfs without a network namespace, read-only with all below", func(t *testing.T) {
		b.config(func(s *specs.Spec) {
			without(s, specs.NetworkNamespace)
			for i := range s.Mounts {
				if s.Mounts[i].Type == "sysfs" {
					s.Mounts[i].Options = []string{"rw"}
				}
			}
			shell(s, `/bin/busybox test -d /sys/class/net/lo && echo there; /bin/busybox grep -c ' /sys[^ ]* [^ ]* rw' /proc/mounts`)
		})
		b.config(func(s *specs.Spec) {
			var kept []specs.Mount
			for _, m := range s.Mounts {
				if m.Type != "cgroup" {
					kept = append(kept, m)
				}
			}
			s.Mounts = kept
		})
		out, _, _ := b.run("run", "-b", b.bundle, "c")
		if strings.TrimSpace(out) != "there\n0" {
			t.Errorf("%q", out)
		}
	})
}

func TestRootUsernsRefusedMounts(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { ownUserns(s); without(s, specs.PIDNamespace) }, "true")
	b.nothing("mount proc on /proc: operation not permitted (a user namespace gets a procfs only of a pid namespace of its own")
	b = newBox(t, func(s *specs.Spec) { ownUserns(s); without(s, specs.IPCNamespace) }, "true")
	b.nothing("mount mqueue on /dev/mqueue: operation not permitted (a user namespace gets an mqueue only")
}

// TestRootUsernsSmallMap: the terminals' group 5 of the usual configuration is not mapped.
func TestRootUsernsSmallMap(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 3}}
		shell(s, "/bin/busybox grep -c 'devpts.*gid' /proc/mounts")
	})
	out, errs, _ := b.run("run", "-b", b.bundle, "c")
	if strings.TrimSpace(out) != "0" || !strings.Contains(errs, "devpts without gid=5") {
		t.Errorf("%q, %q; want a devpts without the option, and a warning", out, errs)
	}
}

func TestRootUsernsDevices(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, {Path: "/dev/pipe", Type: "p"}}
		shell(s, `for d in null zero fuse; do /bin/busybox stat -c '%F %t:%T' /dev/$d; done; /bin/busybox stat -c %F /dev/pipe; echo x > /dev/null`)
	})
	b.says("character special file 1:3", "character special file 1:5", "character special file a:e5", "fifo")
	b.config(func(s *specs.Spec) { s.Linux.Devices[0].Minor = 230 })
	b.nothing("make the device /dev/fuse: no such device")
	b.config(func(s *specs.Spec) {
		s.Linux.Devices[0] = specs.LinuxDevice{Path: "/dev/no-such", Type: "c", Major: 1, Minor: 3}
	})
	b.nothing("make the device /dev/no-such: no such file")
}

// TestRootUsernsCopyUp: ids are as in the root, and what is not mapped is root's.
func TestRootUsernsCopyUp(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "nosuid", "size=1m"}},
			specs.Mount{Destination: "/missing", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "mode=700", "uid=9"}})
		shell(s, `cd /up; /bin/busybox find . | /bin/busybox sort | /bin/busybox xargs /bin/busybox stat -c '%n %a %u:%g %F'; /bin/busybox cat d/f; /bin/busybox readlink l
echo new > /up/new && echo written; /bin/busybox stat -c '%a %u' /missing; /bin/busybox grep -c ' /up tmpfs rw,nosuid' /proc/mounts`)
	})
	b.give(100000)
	root := filepath.Join(b.bundle, "rootfs")
	up := filepath.Join(root, "up")
	os.MkdirAll(filepath.Join(up, "d"), 0o755)
	os.WriteFile(filepath.Join(up, "d/f"), []byte("content\n"), 0o644)
	os.Symlink("d/f", filepath.Join(up, "l"))
	os.WriteFile(filepath.Join(up, "host"), []byte("h"), 0o604)
	os.Chmod(up, 0o751)
	for name, id := range map[string]int{"": 100000, "d": 100005, "d/f": 100006, "l": 100007, "host": 3} {
		if err := os.Lchown(filepath.Join(up, name), id, id); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Join(up, "d/f"), 0o4640)
	if err := unix.Chmod(filepath.Join(up, "d/f"), 0o4644); err != nil {
		t.Fatal(err)
	}
	b.says(". 751 0:0 directory", "./d 755 5:5 directory", "./d/f 4644 6:6 regular file", "./host 604 0:0 regular file", "./l 777 7:7 symbolic link",
		"content", "d/f", "written", "700 9", "1")
	if _, err := os.Stat(filepath.Join(up, "new")); err == nil {
		t.Error("the container wrote into its root below the tmpfs")
	}
}

// TestRootUsernsNoPivot: the root is the container's, also for who enters its own mount
// namespace anew.
func TestRootUsernsNoPivot(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		grant(s, "CAP_SYS_ADMIN", "CAP_SYS_CHROOT")
		shell(s, "/bin/busybox ls /bin; /bin/busybox nsenter -t 1 -m /bin/busybox ls /bin /../../bin")
	})
	out, errs, _ := b.run("run", "--no-pivot", "-b", b.bundle, "c")
	if strings.TrimSpace(out) != "busybox\n/../../bin:\nbusybox\n\n/bin:\nbusybox" {
		t.Errorf("%q, %q; want the root's only program", out, errs)
	}
}

// TestRootUsernsExec: ids, groups and capabilities are those of the container's namespace, and
// an id that it has not is refused.
func TestRootUsernsExec(t *testing.T) {
	b := newBox(t, ownUserns, "sleep", "600")
	os.MkdirAll(filepath.Join(b.bundle, "rootfs/etc"), 0o755)
	os.WriteFile(filepath.Join(b.bundle, "rootfs/etc/passwd"), []byte("five:x:5:6::/home/five:/bin/sh\n"), 0o644)
	b.create("c")
	b.ok("start", "c")
	out := b.ok("exec", "-u", "5:6", "-g", "7", "c", "/bin/busybox", "sh", "-c", "/bin/busybox id; echo $HOME; /bin/busybox grep -e CapEff -e CapInh -e CapAmb /proc/self/status")
	if want := "uid=5(five) gid=6 groups=6,7\n/home/five\nCapInh:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n"; out != want {
		t.Errorf("exec: %q, want %q", out, want)
	}
	if out := b.ok("exec", "c", "/bin/busybox", "grep", "CapEff", "/proc/self/status"); !strings.Contains(out, "0000000020000420") {
		t.Errorf("root's capabilities: %q", out)
	}
	b.refused(255, "process.user.uid: 70000 is not mapped in the container's user namespace", "exec", "-u", "70000", "c", "/bin/busybox", "true")
	b.refused(255, "process.user.gid: 70000 is not mapped", "exec", "-u", "0:70000", "c", "/bin/busybox", "true")
	b.refused(255, "process.user.additionalGids[0]: 70000 is not mapped", "exec", "-g", "70000", "c", "/bin/busybox", "true")
}

// TestRootUsernsHooks: those in the container's namespaces run as its root.
func TestRootUsernsHooks(t *testing.T) {
	b := newBox(t, ownUserns, "sleep", "600")
	os.Chmod(b.bundle, 0o777)
	hook := func(word string) specs.Hook {
		return specs.Hook{Path: "/bin/busybox", Args: []string{"busybox", "sh", "-c", "echo $(/bin/busybox id -u) > /tmp/" + word + "; /bin/busybox hostname " + word}}
	}
	os.Chmod(filepath.Join(b.bundle, "rootfs/tmp"), 0o777)
	b.config(func(s *specs.Spec) {
		s.Root.Readonly = false
		caps := append(s.Process.Capabilities.Bounding, "CAP_SYS_ADMIN") // for the startContainer hook, which has the container's
		s.Process.Capabilities.Bounding, s.Process.Capabilities.Permitted, s.Process.Capabilities.Effective = caps, caps, caps
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{hook("startContainer")}}
	})
	b.create("c")
	b.ok("start", "c")
	text, err := os.ReadFile(filepath.Join(b.bundle, "rootfs/tmp/startContainer"))
	if err != nil || strings.TrimSpace(string(text)) != "0" {
		t.Errorf("the hook is user %q, %v; want root", text, err)
	}
	if name := b.ok("exec", "c", "/bin/busybox", "hostname"); name != "startContainer\n" {
		t.Errorf("hostname %q: the hook has no rights in the container's namespaces", name)
	}
	b.ok("delete", "-f", "c")
	b.config(func(s *specs.Spec) { s.Hooks.StartContainer[0].Args = []string{"busybox", "false"} })
	b.create("c")
	b.refused(1, "run hooks.startContainer[0]", "start", "c")
	b.becomes("c", "stopped")
}

// TestRootUsernsStandardPipes: the program can open its standard input by name, and no device
// of the host changes hands.
func TestRootUsernsStandardPipes(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		s.Process.User = specs.User{UID: 5, GID: 5}
		shell(s, "/bin/busybox cat /dev/stdin > /dev/stdout")
	})
	cmd := exec.Command(b.keel, "--root", b.state, "run", "-b", b.bundle, "c")
	cmd.Stdin = strings.NewReader("through\n")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "through\n" {
		t.Errorf("%q, %v", out, err)
	}
	cmd = exec.Command(b.keel, "--root", b.state, "run", "-b", b.bundle, "c")
	cmd.Stdin, _ = os.Open("/dev/null")
	cmd.Run()
	if st, err := os.Stat("/dev/null"); err != nil || ownerOf(st) != 0 {
		t.Errorf("/dev/null of the host is user %d's", ownerOf(st))
	}
}

// TestRootUsernsOwnCapabilities: root of a new user namespace has what the runtime has not.
func TestRootUsernsOwnCapabilities(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		grant(s, "CAP_SYS_RESOURCE")
		shell(s, "/bin/busybox grep CapEff /proc/self/status")
	})
	b.says("CapEff:\t0000000021000420")
}
