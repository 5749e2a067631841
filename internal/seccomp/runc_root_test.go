package seccomp

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRootRunc runs containers with the real runc, reads the programs that it gave to the kernel, stub included, and
// compares them with ours.
func TestRootRunc(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, program := range []string{"runc", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	o := startOracle(t)
	profiles := map[string]*specs.LinuxSeccomp{"docker": dockerProfile(t, defaultCaps...), "docker with CAP_SYS_ADMIN": dockerProfile(t, "CAP_SYS_ADMIN")}
	for _, name := range []string{"stub and kill", "call 0 with x32"} {
		profiles[name] = nil
	}
	i := 0
	for name, s := range profiles {
		i++
		t.Run(name, func(t *testing.T) {
			if s == nil {
				s = new(specs.LinuxSeccomp)
				if err := json.Unmarshal([]byte(handMade[name]), s); err != nil {
					t.Fatal(err)
				}
				// The container has to live: what it uses is allowed, and newer calls too, which changes no stub but the native one.
				for _, call := range dockerProfile(t, "CAP_SYS_ADMIN").Syscalls {
					if len(call.Args) == 0 && call.Action == specs.ActAllow {
						s.Syscalls = append(s.Syscalls, call)
					}
				}
				// runc 1.1 has the native stub only if the native architecture is listed.
				s.Architectures = append(s.Architectures, specs.ArchX86_64)
			}
			s = o.withoutNewer(t, s)
			filter := runcFilter(t, s, fmt.Sprintf("hull-seccomp-%d-%d", os.Getpid(), i))
			p := mustCompile(t, s)
			// The stub is in the program here.
			pair := &runcPair{&stub{}, machine{filter: filter}}
			vm := machine{filter: p.Filter}
			values := argValues(s)
			rng := rand.New(rand.NewPCG(8, 9))
			different := 0
			for _, arch := range audits {
				for _, nr := range numbers(1024) {
					for range 20 {
						d := &data{nr: nr, arch: arch}
						for i := range d.args {
							d.args[i] = values[i][rng.IntN(len(values[i]))]
						}
						got, _ := vm.run(d)
						want, _ := pair.run(d)
						if got != want && different < 5 {
							different++
							t.Errorf("arch %#x nr %d (%#x) args %#x: %s, runc %s", d.arch, d.nr, d.nr, d.args, verdictName(got), verdictName(want))
						}
					}
				}
			}
			t.Logf("runc: %d instructions, at most %d executed; ours: %d, at most %d",
				len(filter), longestPath(filter), len(p.Filter), longestPath(p.Filter))
		})
	}
}

// runcFilter starts a container with the profile, reads its program and deletes it.
func runcFilter(t *testing.T, s *specs.LinuxSeccomp, id string) []unix.SockFilter {
	t.Helper()
	bundle := t.TempDir()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "rootfs/busybox"), binary, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{Args: []string{"/busybox", "sleep", "1000"}, Cwd: "/"},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{
			CgroupsPath: "/" + id,
			Namespaces:  []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}},
			Seccomp:     s,
		},
	}
	config, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	pidFile := filepath.Join(bundle, "pid")
	cmd := exec.Command("runc", "--root", state, "run", "--detach", "--bundle", bundle, "--pid-file", pidFile, id)
	log, err := os.Create(filepath.Join(bundle, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log // a file: the container keeps it open
	defer func() {
		if out, err := exec.Command("runc", "--root", state, "delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("runc delete: %v: %s", err, out)
		}
	}()
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		t.Fatalf("runc run: %v: %s", err, out)
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return attachedFilter(t, pid)
}

// attachedFilter reads the program of a process (PTRACE_SECCOMP_GET_FILTER in ptrace(2)).
func attachedFilter(t *testing.T, pid int) []unix.SockFilter {
	t.Helper()
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(pid); err != nil {
		t.Fatalf("attaching to %d: %v", pid, err)
	}
	defer unix.PtraceDetach(pid)
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, 0, 0, 0)
	if errno == unix.EIO {
		t.Skip("the kernel has no PTRACE_SECCOMP_GET_FILTER")
	}
	if errno != 0 {
		t.Fatalf("size of the program of %d: %v", pid, errno)
	}
	filter := make([]unix.SockFilter, n)
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, uintptr(unsafe.Pointer(&filter[0])), 0, 0); errno != 0 {
		t.Fatalf("program of %d: %v", pid, errno)
	}
	return filter
}
