package seccomp

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files in testdata/golden")

// TestGolden compiles testdata/golden/*.json and compares the disassembly with the file of the same name.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s specs.LinuxSeccomp
			if err := json.Unmarshal(b, &s); err != nil {
				t.Fatal(err)
			}
			p := mustCompile(t, &s)
			var got strings.Builder
			fmt.Fprintf(&got, "flags %#x, notify %v, %d instructions, at most %d executed\n", p.Flags, p.Notify, len(p.Filter), longestPath(p.Filter))
			for _, w := range p.Warnings {
				fmt.Fprintf(&got, "warning: %s\n", w)
			}
			got.WriteString(disassemble(p.Filter))
			golden := strings.TrimSuffix(file, ".json") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// TestErrors gives Compile what it must refuse.
func TestErrors(t *testing.T) {
	large := `{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[` + strings.Repeat(`{"index":0,"value":1,"op":"SCMP_CMP_EQ"},`, 4096) +
		`{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}`
	var wide strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&wide, `{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":%d,"op":"SCMP_CMP_EQ"},{"index":1,"value":%d,"op":"SCMP_CMP_EQ"}]},`, i, i)
	}
	for _, test := range []struct{ profile, want string }{
		{`{"syscalls":[{}]}`, `linux.seccomp.defaultAction: unknown action ""`},
		{`{"defaultAction":"SCMP_ACT_FOO"}`, `linux.seccomp.defaultAction: unknown action "SCMP_ACT_FOO"`},
		{`{"defaultAction":"` + strings.Repeat("A", 1000) + `"}`, `linux.seccomp.defaultAction: unknown action "` + strings.Repeat("A", 64) + `..."`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}`, `linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW has no errno`},
		{`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}`, `linux.seccomp.defaultErrnoRet: 4096 is larger than 4095`},
		{`{"defaultAction":"SCMP_ACT_TRACE","defaultErrnoRet":65536}`, `linux.seccomp.defaultErrnoRet: 65536 is larger than 65535`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_Z80"]}`, `linux.seccomp.architectures[1]: unknown architecture "SCMP_ARCH_Z80"`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_FOO"]}`, `linux.seccomp.flags[0]: unknown flag "SECCOMP_FILTER_FLAG_FOO"`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}`, `linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY`},
		{rules(`{"names":["read"],"action":"SCMP_ACT_KILL"},{"names":["read"],"action":"scmp_act_kill"}`), `linux.seccomp.syscalls[1].action: unknown action "scmp_act_kill"`},
		{rules(`{"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":1}`), `linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL has no errno`},
		{rules(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":70000}`), `linux.seccomp.syscalls[0].errnoRet: 70000 is larger than 4095`},
		{rules(`{"names":["read",""],"action":"SCMP_ACT_KILL"}`), `linux.seccomp.syscalls[0].names[1]: must not be empty`},
		{rules(`{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}`), `linux.seccomp.syscalls[0].args[0].index: 6 is larger than 5`},
		{rules(`{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":1,"op":"SCMP_CMP_EQ"},{"index":0,"op":"SCMP_CMP_FOO"}]}`), `linux.seccomp.syscalls[0].args[1].op: unknown operator "SCMP_CMP_FOO"`},
		{rules(large), `linux.seccomp.syscalls[0].args: has 4097 conditions, at most 4096 are possible`},
		{rules(strings.TrimSuffix(wide.String(), ",")), `linux.seccomp: the program would have more than 4096 instructions`},
		// Contradictions, in both orders, and hidden in a more general rule.
		{rules(equals("read", "KILL", 0, 1) + "," + equals("read", "TRAP", 0, 1)), `linux.seccomp.syscalls: two rules give different actions for the same conditions of read on SCMP_ARCH_X86_64`},
		{rules(`{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":1,"op":"SCMP_CMP_EQ"}]},` + equals("read", "TRAP", 0, 1)),
			`linux.seccomp.syscalls: two rules give different actions for the same conditions of read on SCMP_ARCH_X86_64`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[` + equals("socket", "KILL", 0, 1) + "," + equals("socket", "TRAP", 0, 2) + `]}`,
			`linux.seccomp.syscalls: two rules give different actions for the same conditions of socketcall on SCMP_ARCH_X86`},
	} {
		var s specs.LinuxSeccomp
		if err := json.Unmarshal([]byte(test.profile), &s); err != nil {
			t.Fatalf("%s: %v", clip(test.profile), err)
		}
		p, err := Compile(&s, Options{Native: "SCMP_ARCH_X86_64"})
		if err == nil || err.Error() != test.want || p != nil {
			t.Errorf("%s: got %v, want %s", clip(test.profile), err, test.want)
		}
	}
	for _, native := range []string{"SCMP_ARCH_RISCV64", "SCMP_ARCH_X32", "x"} {
		_, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, Options{Native: native})
		if err == nil || !strings.Contains(err.Error(), "no system call table for the native architecture") {
			t.Errorf("native %q: %v", native, err)
		}
	}
}

func rules(list string) string {
	return `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[` + list + `]}`
}

func equals(name, action string, index, value int) string {
	return fmt.Sprintf(`{"names":[%q],"action":"SCMP_ACT_%s","args":[{"index":%d,"value":%d,"op":"SCMP_CMP_EQ"}]}`, name, action, index, value)
}

// TestHuge gives Compile a million names and conditions that all end in a small program; it must not take minutes.
func TestHuge(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	var names []string
	for i := range numNames {
		names = append(names, nameAt(i))
	}
	// Every call gets its own list of rules, each with one entry of 4096 conditions.
	many := specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
	for i := range uint64(4096) {
		many.Args = append(many.Args, specs.LinuxSeccompArg{Index: 0, Value: i, Op: specs.OpLessEqual})
	}
	s.Syscalls = append(s.Syscalls, many)
	for i := range names {
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: names[i : i+1], Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: 4095, Op: specs.OpEqualTo}}})
	}
	// A hundred thousand entries for one call.
	for i := range uint64(100_000) {
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{"close"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: i, Op: specs.OpLessEqual}}})
	}
	s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: slices.Repeat([]string{"nonsense"}, 200_000), Action: specs.ActAllow})
	p := mustCompile(t, s)
	if len(p.Warnings) != maxWarnings || !strings.HasSuffix(p.Warnings[maxWarnings-1], " more warnings") {
		t.Errorf("%d warnings, the last one %q", len(p.Warnings), p.Warnings[len(p.Warnings)-1])
	}
	vm := machine{filter: p.Filter}
	d := &data{nr: 3, arch: unix.AUDIT_ARCH_X86_64, args: [6]uint64{5000, 99_999}}
	if ret, _ := vm.run(d); ret != unix.SECCOMP_RET_ALLOW {
		t.Errorf("close(5000, 99999): %s", verdictName(ret))
	}
	d.args[1]++
	if ret, _ := vm.run(d); ret != unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM) {
		t.Errorf("close(5000, 100000): %s", verdictName(ret))
	}
}

// TestNoFilter checks that an absent or empty section gives no program.
func TestNoFilter(t *testing.T) {
	for _, s := range []*specs.LinuxSeccomp{nil, {}, {Architectures: []specs.Arch{"x"}}} {
		if p, err := Compile(s, Options{}); p != nil || err != nil {
			t.Errorf("%+v: %v, %v", s, p, err)
		}
	}
}

// TestFlags checks Flags and Notify.
func TestFlags(t *testing.T) {
	notify := []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}
	for _, test := range []struct {
		flags    []specs.LinuxSeccompFlag
		syscalls []specs.LinuxSyscall
		want     uint32
	}{
		{nil, nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{[]specs.LinuxSeccompFlag{}, nil, 0},
		{[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC"}, nil, 0},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}, nil, unix.SECCOMP_FILTER_FLAG_LOG},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow}, nil, unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{[]specs.LinuxSeccompFlag{}, notify, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{[]specs.LinuxSeccompFlag{}, []specs.LinuxSyscall{{Names: []string{"write"}, Action: specs.ActNotify}}, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, notify, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
		{[]specs.LinuxSeccompFlag{}, []specs.LinuxSyscall{{Action: specs.ActNotify}}, 0},
	} {
		p := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: test.flags, Syscalls: test.syscalls})
		if p.Flags != test.want || p.Notify != (test.want&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0) {
			t.Errorf("%v: flags %#x, notify %v, want flags %#x", test.flags, p.Flags, p.Notify, test.want)
		}
	}
	if p := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActNotify}); !p.Notify || p.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
		t.Errorf("notify by default: flags %#x, notify %v", p.Flags, p.Notify)
	}
}

// TestKnown checks what `keel features` prints, against the runtime-spec's own names.
func TestKnown(t *testing.T) {
	for _, list := range [][]string{KnownActions(), KnownOperators(), KnownArches(), KnownFlags()} {
		if !slices.IsSorted(list) || len(list) == 0 {
			t.Errorf("not sorted: %q", list)
		}
	}
	for _, a := range allActions {
		if !slices.Contains(KnownActions(), string(a)) {
			t.Errorf("%s is missing", a)
		}
	}
	for _, o := range allOps {
		if !slices.Contains(KnownOperators(), string(o)) {
			t.Errorf("%s is missing", o)
		}
	}
	for _, a := range []specs.Arch{specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64,
		specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64,
		specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB} {
		if !slices.Contains(KnownArches(), string(a)) {
			t.Errorf("%s is missing", a)
		}
		p := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{a}})
		if hasTable := findABI(string(a)) != nil; hasTable != (len(p.Warnings) == 0) {
			t.Errorf("%s: table %v, warnings %q", a, hasTable, p.Warnings)
		}
	}
}

// TestSupported probes the kernel, and checks that nothing got installed by that.
func TestSupported(t *testing.T) {
	flags, actions := SupportedFlags(), SupportedActions()
	t.Logf("flags %q, actions %q", flags, actions)
	if !slices.Contains(flags, "SECCOMP_FILTER_FLAG_LOG") || !slices.Contains(actions, "SCMP_ACT_KILL_PROCESS") {
		t.Error("since Linux 4.14 there are SECCOMP_FILTER_FLAG_LOG and SCMP_ACT_KILL_PROCESS")
	}
	var major, minor int
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(release), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if newer := major > 5 || major == 5 && minor >= 19; newer != slices.Contains(flags, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
		t.Errorf("Linux %d.%d: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is in Linux since 5.19", major, minor)
	}
	if knowsFlags(1 << 30) {
		t.Error("the kernel claims to know flag 1<<30")
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "Seccomp:\t0\n") {
		t.Error("the probe installed a filter")
	}
}

// TestNative compiles for machines other than this one. That x32 can be in a filter without x86_64 is libseccomp's
// doing: it then kills numbers below 1<<30 and takes all others for x32.
func TestNative(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActLog, Architectures: []specs.Arch{specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActAllow}}}
	const kill, log, allow = retKillThread, retLog, retAllow
	for _, test := range []struct {
		native string
		d      data
		want   uint32
	}{
		{"SCMP_ARCH_AARCH64", data{nr: 34, arch: unix.AUDIT_ARCH_AARCH64}, allow}, // mkdirat
		{"SCMP_ARCH_AARCH64", data{nr: 83, arch: unix.AUDIT_ARCH_AARCH64}, log},
		{"SCMP_ARCH_AARCH64", data{nr: 39, arch: unix.AUDIT_ARCH_I386}, kill},
		{"SCMP_ARCH_AARCH64", data{nr: 83, arch: unix.AUDIT_ARCH_X86_64}, kill},
		{"SCMP_ARCH_AARCH64", data{nr: x32Bit | 83, arch: unix.AUDIT_ARCH_X86_64}, allow},
		{"SCMP_ARCH_AARCH64", data{nr: x32Bit | 84, arch: unix.AUDIT_ARCH_X86_64}, log},
		{"SCMP_ARCH_AARCH64", data{nr: 1<<31 | 83, arch: unix.AUDIT_ARCH_X86_64}, log},
		{"SCMP_ARCH_AARCH64", data{nr: ^uint32(0), arch: unix.AUDIT_ARCH_X86_64}, log},
		{"SCMP_ARCH_ARM", data{nr: 39, arch: unix.AUDIT_ARCH_ARM}, allow},
		{"SCMP_ARCH_ARM", data{nr: 34, arch: unix.AUDIT_ARCH_AARCH64}, kill},
		{"SCMP_ARCH_X86", data{nr: 39, arch: unix.AUDIT_ARCH_I386}, allow},
		{"SCMP_ARCH_X86", data{nr: 83, arch: unix.AUDIT_ARCH_X86_64}, kill},
		{"SCMP_ARCH_X86_64", data{nr: 83, arch: unix.AUDIT_ARCH_X86_64}, allow},
	} {
		p, err := Compile(s, Options{Native: test.native})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := (&machine{filter: p.Filter}).run(&test.d); got != test.want {
			t.Errorf("%s: arch %#x nr %#x: %s, want %s", test.native, test.d.arch, test.d.nr, verdictName(got), verdictName(test.want))
		}
	}
}

// TestConstAllow checks that the kernel can tell which calls are always allowed, so that it does not run the filter for
// them: no argument may be looked at on the way.
func TestConstAllow(t *testing.T) {
	for name, s := range dockerProfiles(t) {
		p := mustCompile(t, s)
		m := newModel(s, &stub{})
		allowed := 0
		for key, call := range m.calls {
			if call.always == nil || *call.always != unix.SECCOMP_RET_ALLOW {
				continue
			}
			if allowed++; !constAllow(p.Filter, key[1], key[0]) {
				t.Errorf("%s: call %d of %#x runs the filter", name, key[1], key[0])
			}
		}
		if allowed < 300 {
			t.Errorf("%s: only %d calls are always allowed", name, allowed)
		}
	}
}

func BenchmarkCompileDocker(b *testing.B) {
	s := dockerProfile(b, defaultCaps...)
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, s)
	}
}

func BenchmarkParseBinary(b *testing.B) {
	bin := mustCompile(b, dockerProfile(b, defaultCaps...)).AppendBinary(nil)
	b.SetBytes(int64(len(bin)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBinary(bin); err != nil {
			b.Fatal(err)
		}
	}
}
