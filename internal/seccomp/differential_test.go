package seccomp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	docker "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// AUDIT_ARCH_* values to try: all that have a table, and a foreign one.
var audits = []uint32{
	unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_S390X,
}

// numbers returns the call numbers to try: 0 to 1023 with every combination of the bits 30 and 31, arm's private ones
// and the edges.
func numbers(upTo uint32) []uint32 {
	var list []uint32
	for _, high := range []uint32{0, 1 << 30, 1 << 31, 3 << 30} {
		for nr := range upTo {
			list = append(list, high|nr)
		}
		list = append(list, high|0x3FFFFFFF, high|0x3FFFFFFE, high|0x10000, high|2000)
	}
	for nr := range uint32(10) {
		list = append(list, 0xF0000+nr)
	}
	return list
}

// argValues returns the values to try for each argument: those of the profile's conditions and their neighbours.
func argValues(s *specs.LinuxSeccomp) [6][]uint64 {
	var values [6][]uint64
	for i := range values {
		values[i] = []uint64{0, 1, ^uint64(0), 1 << 32}
	}
	for _, call := range s.Syscalls {
		for _, arg := range call.Args {
			v := &values[arg.Index]
			for _, x := range []uint64{arg.Value, arg.ValueTwo} {
				*v = append(*v, x, x+1, x-1, ^x, x^1<<32, x^1<<63, x&0xFFFFFFFF, x|0xFFFFFFFF00000000, x<<32, x>>32)
			}
			if arg.Op == specs.OpMaskedEqual {
				masked := arg.ValueTwo & arg.Value
				*v = append(*v, masked, masked|^arg.Value, masked^1, masked|^arg.Value<<32, masked&0xFFFFFFFF)
				for bit := uint64(1); bit != 0; bit <<= 1 {
					if arg.Value&bit != 0 {
						*v = append(*v, masked^bit)
					}
				}
			}
		}
	}
	for i := range values {
		slices.Sort(values[i])
		values[i] = slices.Compact(values[i])
	}
	return values
}

// conditional returns the numbers whose calls have conditions, per AUDIT_ARCH_* (x32 with its bit).
func conditional(s *specs.LinuxSeccomp) map[[2]uint32]bool {
	found := make(map[[2]uint32]bool)
	for _, call := range s.Syscalls {
		if len(call.Args) == 0 {
			continue
		}
		for _, name := range call.Names {
			for i := range abis {
				if index := findName(name); index >= 0 {
					if nr, ok := abis[i].number(index); ok {
						found[[2]uint32{abis[i].audit, nr}] = true
					}
					if mux, _ := multiplexed(index); mux != 0 {
						found[[2]uint32{unix.AUDIT_ARCH_I386, mux}] = true
					}
				}
			}
		}
	}
	return found
}

// comparison is the result of running a program against libseccomp's and the model.
type comparison struct {
	diffs       []string // differences that must not be, at most 5
	runs        int
	wrong       int // libseccomp's verdict is not that of any matching rule
	strict      int // runs of calls with conditions in which libseccomp is not suspect
	otherChoice int // of several matching rules libseccomp takes another one, in a call where it is suspect
}

// compare runs both programs over numbers and arguments.
func compare(ours *machine, theirs *runcPair, s *specs.LinuxSeccomp, rng *rand.Rand, upTo uint32, combinations int) (c comparison) {
	values, conds, m := argValues(s), conditional(s), newModel(s, theirs.stub)
	try := func(d *data) {
		c.runs++
		got, _ := ours.run(d)
		want, _ := theirs.run(d)
		allowed := m.verdicts(d)
		if m.calls[[2]uint32{d.arch, d.nr}] != nil && !m.suspect(d) {
			c.strict++
		}
		switch {
		case !slices.Contains(allowed, got):
		case got == want:
			return
		case !m.suspect(d):
		case !slices.Contains(allowed, want):
			c.wrong++
			return
		default:
			c.otherChoice++
			return
		}
		if len(c.diffs) < 5 {
			var means []string
			for _, ret := range allowed {
				means = append(means, verdictName(ret))
			}
			c.diffs = append(c.diffs, fmt.Sprintf("arch %#x nr %d (%#x) args %#x: %s; libseccomp %s, model %v",
				d.arch, d.nr, d.nr, d.args, verdictName(got), verdictName(want), means))
		}
	}
	for _, arch := range audits {
		for _, nr := range numbers(upTo) {
			try(&data{nr: nr, arch: arch})
			if !conds[[2]uint32{arch, nr}] && !(arch == unix.AUDIT_ARCH_I386 && (nr == x86Socketcall || nr == x86IPC)) {
				continue
			}
			// One argument at a time, then all at random.
			for i := range values {
				for _, v := range values[i] {
					d := &data{nr: nr, arch: arch}
					d.args[i] = v
					try(d)
				}
			}
			for range combinations {
				d := &data{nr: nr, arch: arch}
				for i := range d.args {
					d.args[i] = values[i][rng.IntN(len(values[i]))]
				}
				if nr == x86Socketcall || nr == x86IPC {
					d.args[0] = uint64(rng.IntN(26))
				}
				try(d)
			}
		}
	}
	return c
}

// dockerProfile returns Docker's default profile for a container with the given capabilities.
func dockerProfile(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	s, err := docker.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var defaultCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capsOfProfile are those that Docker's default profile asks for.
var capsOfProfile = []string{
	"CAP_AUDIT_CONTROL", "CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
}

func dockerProfiles(t testing.TB) map[string]*specs.LinuxSeccomp {
	return map[string]*specs.LinuxSeccomp{
		"default caps":  dockerProfile(t, defaultCaps...),
		"no caps":       dockerProfile(t),
		"CAP_SYS_ADMIN": dockerProfile(t, "CAP_SYS_ADMIN"),
		"all caps":      dockerProfile(t, append(capsOfProfile, defaultCaps...)...),
	}
}

// TestDockerProfile compares the verdicts of Docker's default profile with those of runc and libseccomp over every call
// number and every condition, and prints how long the programs are.
func TestDockerProfile(t *testing.T) {
	o := startOracle(t)
	for name, s := range dockerProfiles(t) {
		t.Run(name, func(t *testing.T) {
			full := mustCompile(t, s)
			s = o.withoutNewer(t, s)
			p := mustCompile(t, s)
			theirs, err := o.filter(t, s)
			if err != nil {
				t.Fatal(err)
			}
			pair := &runcPair{o.stub(t, s), machine{filter: theirs}}
			c := compare(&machine{filter: p.Filter}, pair, s, rand.New(rand.NewPCG(1, 2)), 1024, 500)
			for _, d := range c.diffs {
				t.Error(d)
			}
			if c.wrong+c.otherChoice > 0 {
				t.Errorf("%d verdicts differ from libseccomp's", c.wrong+c.otherChoice)
			}
			t.Logf("%d runs; instructions: %d, libseccomp %d and runc's stub of 12; longest path: %d, libseccomp %d",
				c.runs, len(full.Filter), len(theirs), longestPath(full.Filter), longestPath(theirs))
			report(t, full.Filter, theirs)
			if got := longestPath(full.Filter); got > 16 {
				t.Errorf("the longest path has %d instructions, want at most 16", got)
			}
		})
	}
}

// report logs how many instructions the calls of each ABI execute.
func report(t *testing.T, ours, theirs []unix.SockFilter) {
	for i := range abis {
		a := &abis[i]
		if a.audit != unix.AUDIT_ARCH_X86_64 && a.audit != unix.AUDIT_ARCH_I386 {
			continue
		}
		var most, sum, theirMost, theirSum, calls, constant int
		for j := range numNames {
			nr, ok := a.number(j)
			if !ok {
				continue
			}
			calls++
			_, steps := (&machine{filter: ours}).run(&data{nr: nr, arch: a.audit})
			most, sum = max(most, steps), sum+steps
			_, steps = (&machine{filter: theirs}).run(&data{nr: nr, arch: a.audit})
			theirMost, theirSum = max(theirMost, steps), theirSum+steps
			if constAllow(ours, nr, a.audit) {
				constant++
			}
		}
		t.Logf("%-16s %d calls: %4.1f instructions on average, %d at most; libseccomp %4.1f, %d; %d always allowed without a run",
			a.name, calls, float64(sum)/float64(calls), most, float64(theirSum)/float64(calls), theirMost, constant)
	}
}

func mustCompile(t testing.TB, s *specs.LinuxSeccomp) *Program {
	t.Helper()
	p, err := Compile(s, Options{Native: "SCMP_ARCH_X86_64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(p.Filter); err != nil {
		t.Fatalf("invalid program: %v\n%s", err, disassemble(p.Filter))
	}
	return p
}
