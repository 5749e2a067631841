package seccomp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// oracle is testdata/oracle.c, compiled against this machine's libseccomp and kept running.
type oracle struct {
	in    io.WriteCloser
	out   *bufio.Reader
	cmd   *exec.Cmd
	known map[string]int32 // resolve's results
}

// startOracle skips the test if there is no C compiler or no libseccomp to link with, or where libseccomp's native
// architecture, which is in every filter, is not the one that the tests compile for.
func startOracle(t testing.TB) *oracle {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("compares filters of x86_64")
	}
	binary := filepath.Join(t.TempDir(), "oracle")
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler: ", err)
	}
	if _, err := os.Stat("/usr/include/seccomp.h"); err != nil {
		t.Skip("libseccomp-dev is not installed: ", err)
	}
	if out, err := exec.Command("cc", "-O1", "-o", binary, "testdata/oracle.c", "-lseccomp").CombinedOutput(); err != nil {
		t.Fatalf("compiling the oracle: %v\n%s", err, out)
	}
	o := &oracle{cmd: exec.Command(binary), known: make(map[string]int32)}
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewReader(out)
	o.cmd.Stderr = os.Stderr
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.in.Close()
		if err := o.cmd.Wait(); err != nil {
			t.Errorf("the oracle: %v", err)
		}
	})
	return o
}

func (o *oracle) ask(t testing.TB, question string) {
	if _, err := io.WriteString(o.in, question); err != nil {
		t.Fatalf("asking the oracle: %v", err)
	}
}

func (o *oracle) answer(t testing.TB, v any) {
	if err := binary.Read(o.out, binary.NativeEndian, v); err != nil {
		t.Fatalf("hearing the oracle: %v", err)
	}
}

// resolve returns libseccomp's number for a call: -1 unknown, below that a call that only other ABIs have.
func (o *oracle) resolve(t testing.TB, arch, name string) int32 {
	key := arch + " " + name
	nr, ok := o.known[key]
	if !ok {
		o.ask(t, "resolve "+key+"\n")
		o.answer(t, &nr)
		o.known[key] = nr
	}
	return nr
}

// scmpArch translates SCMP_ARCH_* into libseccomp's name.
func scmpArch(name string) string {
	return strings.ToLower(strings.TrimPrefix(name, "SCMP_ARCH_"))
}

var scmpOps = map[specs.LinuxSeccompOperator]int{
	specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4,
	specs.OpGreaterEqual: 5, specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7,
}

// runcAction is runc's getAction.
func runcAction(action specs.LinuxSeccompAction, errno *uint) uint32 {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno)
	}
	switch action {
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS
	}
	return unix.SECCOMP_RET_KILL_THREAD
}

// filter asks for what runc's InitSeccomp gives to libseccomp, without the ENOSYS stub.
func (o *oracle) filter(t testing.TB, s *specs.LinuxSeccomp) ([]unix.SockFilter, error) {
	def := runcAction(s.DefaultAction, s.DefaultErrnoRet)
	var rules strings.Builder
	named, count := 0, 0
	for _, call := range s.Syscalls {
		ret := runcAction(call.Action, call.ErrnoRet)
		for _, name := range call.Names {
			named++
			if ret == def {
				continue
			}
			var once [6]int
			for _, arg := range call.Args {
				once[arg.Index]++
			}
			split := false
			for _, n := range once {
				split = split || n > 1
			}
			if !split {
				fmt.Fprintf(&rules, "%x %s %x", ret, name, len(call.Args))
				count++
			}
			for _, arg := range call.Args {
				if split {
					fmt.Fprintf(&rules, "%x %s 1", ret, name)
					count++
				}
				fmt.Fprintf(&rules, " %x %x %x %x", arg.Index, scmpOps[arg.Op], arg.Value, arg.ValueTwo)
				if split {
					rules.WriteByte('\n')
				}
			}
			if !split {
				rules.WriteByte('\n')
			}
		}
	}
	arches := []string{"x86_64"}
	for _, a := range s.Architectures {
		arches = append(arches, scmpArch(string(a)))
	}
	optimize := 0
	if named > 32 {
		optimize = 1
	}
	o.ask(t, fmt.Sprintf("filter %x %x %s %x\n%s", def, optimize, strings.Join(arches, ","), count, rules.String()))
	var rc int32
	o.answer(t, &rc)
	if rc != 0 {
		return nil, fmt.Errorf("libseccomp: %w", unix.Errno(-rc))
	}
	var n uint32
	o.answer(t, &n)
	filter := make([]unix.SockFilter, n)
	o.answer(t, filter)
	return filter, nil
}

// stub is runc's ENOSYS stub, from findLastSyscalls and generateEnosysStub of libcontainer/seccomp/patchbpf (1.3).
type stub struct {
	largest map[uint32]uint32 // AUDIT_ARCH_* and whether it is x32 (bit 30), to the largest number
}

func (o *oracle) stub(t testing.TB, s *specs.LinuxSeccomp) *stub {
	st := &stub{largest: make(map[uint32]uint32)}
	switch s.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
		return st
	}
	for _, a := range append([]specs.Arch{specs.ArchX86_64}, s.Architectures...) {
		abi := findABI(string(a))
		if abi == nil {
			continue
		}
		largest := int32(0)
		for _, call := range s.Syscalls {
			for _, name := range call.Names {
				largest = max(largest, o.resolve(t, scmpArch(string(a)), name))
			}
		}
		if largest != 0 {
			st.largest[abi.audit^abi.bit] = uint32(largest)
		}
	}
	return st
}

// verdict returns the stub's verdict, false if the call goes on to the filter.
func (s *stub) verdict(d *data) (uint32, bool) {
	key := d.arch
	if d.arch == unix.AUDIT_ARCH_X86_64 {
		key ^= d.nr & x32Bit
	}
	if largest, ok := s.largest[key]; ok && d.nr > largest {
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS), true
	}
	return 0, false
}

// runcPair is what runc would run: the stub, then libseccomp's filter.
type runcPair struct {
	stub *stub
	vm   machine
}

func (r *runcPair) run(d *data) (ret uint32, steps int) {
	if ret, ok := r.stub.verdict(d); ok {
		return ret, 0
	}
	return r.vm.run(d)
}

// TestTables compares every name's number with libseccomp's.
func TestTables(t *testing.T) {
	o := startOracle(t)
	newer := 0
	for i := range abis {
		a := &abis[i]
		for j := range numNames {
			name := nameAt(j)
			want := o.resolve(t, scmpArch(a.name), name)
			nr, ok := a.number(j)
			switch {
			case want == -1:
				// libseccomp 2.5.4 ends with Linux 5.17. Numbers from 403 on are the same on all ABIs.
				if low := nr &^ a.bit; ok && low <= 450 && low != 335 && low != 336 {
					t.Errorf("%s: %s is %d, libseccomp does not know it", a.name, name, nr)
				}
				newer++
			case want < 0 && a.mux:
				if mux, selector := multiplexed(j); selector != 0 {
					pseudo := 100
					if mux == x86IPC {
						pseudo = 200
					}
					if int(want) != -pseudo-int(selector) {
						t.Errorf("%s: %s has selector %d, libseccomp %d", a.name, name, selector, want)
					}
				} else if ok {
					t.Errorf("%s: %s is %d, libseccomp says there is none", a.name, name, nr)
				}
			case want < 0 && ok, want >= 0 && (!ok || nr != uint32(want)):
				t.Errorf("%s: %s is %d (%v), libseccomp says %d", a.name, name, nr, ok, want)
			}
		}
	}
	t.Logf("%d names on %d ABIs, %d of these pairs newer than this libseccomp", numNames, len(abis), newer)
}

// withoutNewer returns a copy of the profile without the names that this libseccomp does not know, as runc with it
// would see the profile.
func (o *oracle) withoutNewer(t testing.TB, s *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	c := *s
	c.Syscalls = nil
	for _, call := range s.Syscalls {
		var names []string
		for _, name := range call.Names {
			if o.resolve(t, "x86_64", name) != -1 {
				names = append(names, name)
			}
		}
		call.Names = names
		c.Syscalls = append(c.Syscalls, call)
	}
	return &c
}
