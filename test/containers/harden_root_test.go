package containers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hullWithImage is hulldWithImage with hull for its client.
func hullWithImage(t *testing.T, name string) *daemon {
	t.Helper()
	d := hulldWithImage(t, name)
	d.client = program(t, "hull")
	return d
}

// status are the lines of a process's /proc/PID/status, as the container sees them.
func status(t *testing.T, d *daemon, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(d.ok(t, "exec", name, "cat", "/proc/1/status")) {
		k, v, _ := strings.Cut(line, ":")
		out[k] = strings.TrimSpace(v)
	}
	return out
}

// TestRootHardened looks at a container that asks for nothing, from inside and from the host.
func TestRootHardened(t *testing.T) {
	d := hullWithImage(t, "hardened")
	d.ok(t, "run", "-d", "--network", "none", "--name", "one", "busybox", "sleep", "1000")
	pid := d.ok(t, "inspect", "-f", "{{.State.Pid}}", "one")

	t.Run("namespaces", func(t *testing.T) {
		for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
			host, err := os.Readlink("/proc/self/ns/" + ns)
			if err != nil {
				t.Fatal(err)
			}
			if own, err := os.Readlink("/proc/" + pid + "/ns/" + ns); err != nil || own == host {
				t.Errorf("%s: the container has %s, the host %s (%v)", ns, own, host, err)
			}
		}
	})
	t.Run("root is nobody on the host", func(t *testing.T) {
		raw, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if f := strings.Fields(line); len(f) == 5 && (f[0] == "Uid:" || f[0] == "Gid:") {
				for _, id := range f[1:] {
					if n, err := strconv.Atoi(id); err != nil || n < 1<<16 {
						t.Errorf("on the host it is %q", line)
					}
				}
			}
		}
		if out := d.ok(t, "exec", "one", "id", "-u"); out != "0" {
			t.Errorf("in the container it is %s", out)
		}
	})
	t.Run("capabilities, seccomp", func(t *testing.T) {
		// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT,
		// SETFCAP: no MKNOD, NET_RAW, AUDIT_WRITE (SECURITY.md, part 2c).
		const eleven = "00000000800405fb"
		s := status(t, d, "one")
		for name, want := range map[string]string{"CapBnd": eleven, "CapPrm": eleven, "CapEff": eleven, "CapInh": "0000000000000000", "CapAmb": "0000000000000000", "Seccomp": "2"} {
			if s[name] != want {
				t.Errorf("%s is %q, want %q", name, s[name], want)
			}
		}
	})
	t.Run("descriptors", func(t *testing.T) {
		entries, err := os.ReadDir("/proc/" + pid + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 3 {
			t.Errorf("init has %v", entries)
		}
		if out := strings.Fields(d.ok(t, "exec", "one", "ls", "/proc/self/fd")); len(out) != 4 { // and the directory
			t.Errorf("an exec process has %v", out)
		}
	})
	t.Run("masks", func(t *testing.T) { masks(t, d) })
}

// masks looks whether what tells of the kernel or changes it is closed: a file or directory that is
// there on the host is empty, and what is read-only cannot be written.
func masks(t *testing.T, d *daemon) {
	closed := []string{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/dev/block", "/sys/fs/selinux", "/sys/devices/system/cpu/cpu0/thermal_throttle"}
	readOnly := []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/sys", "/sys/fs/cgroup", "/sys/kernel/uevent_helper"}
	script := "for p in " + strings.Join(closed, " ") + "; do if [ -d $p ]; then [ -z \"$(ls -A $p 2>/dev/null)\" ] || echo open $p; elif [ -e $p ]; then [ -z \"$(head -c 1 $p 2>/dev/null | tr -d '\\0')\" ] || echo open $p; fi; done; " +
		"for p in " + strings.Join(readOnly, " ") + "; do if [ -d $p ]; then mkdir $p/hull-x 2>/dev/null && echo written $p; elif [ -e $p ]; then (echo '' > $p) 2>/dev/null && echo written $p; fi; done; echo end"
	if out := d.ok(t, "exec", "one", "sh", "-c", script); out != "end" {
		t.Errorf("%s", out)
	}
	present := 0
	for _, p := range append(closed, readOnly...) {
		if _, err := os.Lstat(p); err == nil {
			present++
		}
	}
	t.Logf("%d of %d paths are there on this host", present, len(closed)+len(readOnly))
}

// TestRootLimits: what a container is limited to holds.
func TestRootLimits(t *testing.T) {
	d := hullWithImage(t, "limits")
	dd := []string{"busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"} // its buffer is that big
	child := []string{"busybox", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; exit 3"}
	t.Run("memory", func(t *testing.T) {
		d.ok(t, append([]string{"run", "--rm", "--network", "none"}, dd...)...) // so it is the limit that kills
		begun := time.Now()
		for name, c := range map[string]struct {
			argv []string
			want string
		}{"init": {dd, "true 137"}, "child": {child, "true 3"}} {
			d.do(append([]string{"run", "--network", "none", "--memory", "16m", "--memory-swap", "16m", "--name", name}, c.argv...)...)
			if out := d.ok(t, "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", name); out != c.want {
				t.Errorf("%s ends as %q, want %q", name, out, c.want)
			}
		}
		out := d.ok(t, "events", "--since", fmt.Sprint(begun.Unix()), "--until", fmt.Sprint(time.Now().Unix()+1), "--filter", "event=oom")
		if strings.Count(out, " oom ") < 2 {
			t.Errorf("events: %q", out)
		}
	})
	t.Run("pids", func(t *testing.T) {
		fork := []string{"busybox", "sh", "-c", "i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done; echo forked $i"}
		r := d.do(append([]string{"run", "--rm", "--network", "none", "--pids-limit", "10"}, fork...)...)
		if strings.Contains(r.out, "forked") || !strings.Contains(r.err, "fork") {
			t.Errorf("with a limit of 10: %+v", r)
		}
		if r := d.do(append([]string{"run", "--rm", "--network", "none"}, fork...)...); r.out != "forked 20\n" {
			t.Errorf("without: %+v", r)
		}
	})
	t.Run("cpu", func(t *testing.T) {
		d.ok(t, "run", "-d", "--network", "none", "--cpus", "0.1", "--name", "spins", "busybox", "sh", "-c", "while :; do :; done")
		pid := d.ok(t, "inspect", "-f", "{{.State.Pid}}", "spins")
		ran := func() time.Duration {
			raw, err := os.ReadFile("/proc/" + pid + "/schedstat")
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.ParseInt(strings.Fields(string(raw))[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return time.Duration(n)
		}
		time.Sleep(500 * time.Millisecond)
		was, begun := ran(), time.Now()
		time.Sleep(5 * time.Second)
		share := float64(ran()-was) / float64(time.Since(begun))
		if share < 0.09 || share > 0.11 {
			t.Errorf("it has %.3f of a CPU, want 0.1 within 10 %%", share)
		}
	})
}

// TestRootCVE2018_20699: a set of CPUs of four thousand million is refused at once, in no memory.
func TestRootCVE2018_20699(t *testing.T) {
	d := hullWithImage(t, "cpuset")
	begun := time.Now()
	r := d.do("run", "--rm", "--network", "none", "--cpuset-cpus", "0-4294967295", "busybox", "true")
	took := time.Since(begun)
	if r.code != 125 || !strings.Contains(r.err, "cpuset") {
		t.Errorf("%+v", r)
	}
	if took > 2*time.Second {
		t.Errorf("it takes %v", took)
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(raw), "VmHWM:")
	if kib, err := strconv.Atoi(strings.Fields(peak)[0]); err != nil || kib > 200<<10 {
		t.Errorf("hulld had %d KiB (%v)", kib, err)
	}
}

// TestRootCVE2019_13509: no secret of a call is in the log, also of a hulld that logs all it can.
func TestRootCVE2019_13509(t *testing.T) {
	d := hullWithImage(t, "secrets") // startHulld has --log-level debug
	const token = "hull-secret-5f1c"
	d.ok(t, "run", "--rm", "--network", "none", "-e", "PASSWORD="+token, "-l", "key="+token, "busybox", "echo", token)
	d.ok(t, "run", "-d", "--network", "none", "--name", "one", "-e", "PASSWORD="+token, "busybox", "sleep", "1000")
	d.ok(t, "exec", "-e", "SECRET="+token, "one", "echo", token)
	d.do("exec", "one", token)
	d.do("run", "--rm", "--network", "none", "busybox", "sh", "-c", "exit 7", token)
	d.feed([]byte(token+"\n"), "login", "-u", "somebody", "--password-stdin", "127.0.0.1:1")
	d.do("pull", "127.0.0.1:1/none")
	d.ok(t, "rm", "-f", "one")
	for _, f := range []string{"log", "run/hulld.log"} {
		raw, err := os.ReadFile(filepath.Join(d.dir, f))
		if err == nil && strings.Contains(string(raw), token) {
			i := strings.Index(string(raw), token)
			t.Errorf("%s has it: %q", f, raw[max(0, i-200):i])
		}
	}
}
