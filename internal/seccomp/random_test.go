package seccomp

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var randomCount = flag.Int("random", 1000, "profiles that TestRandomProfiles compares with libseccomp, of each kind")

// randomNames has calls that all ABIs have, that only some have, the first and the last, multiplexed ones with and
// without a direct number, and one that nobody has.
var randomNames = []string{
	"read", "write", "close", "clone", "clone3", "personality", "socket", "socketpair", "accept4", "semget", "ioctl", "prctl",
	"preadv2", "mount", "futex_waitv", "process_mrelease", "openat2", // commonNames
	"open", "stat", "accept", "send", "recvmmsg", "semop", "shmat", "msgctl", "socketcall", "ipc", "ptrace", "pwritev2", "execveat", "setns", "unshare", "umount2", "umount", "keyctl", "bpf", "io_uring_setup",
	"set_tls", "cacheflush", "llseek", "_llseek", "waitpid", "time", "futex_time64",
	"arch_prctl", "modify_ldt", "getpid", "rt_sigreturn", "process_vm_readv", "openat2", "no_such_call",
}

// commonNames is the count of names at the begin of randomNames that all ABIs have.
const commonNames = 17

var (
	allActions = []specs.LinuxSeccompAction{
		specs.ActKill, specs.ActKillThread, specs.ActKillProcess, specs.ActTrap, specs.ActErrno, specs.ActTrace,
		specs.ActAllow, specs.ActLog, specs.ActNotify,
	}
	allOps = []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterEqual, specs.OpGreaterThan,
		specs.OpMaskedEqual,
	}
	subArches = []specs.Arch{specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM, specs.ArchX86_64}
)

// randomProfile makes a profile of rules that often meet: few calls, few values. With mixed set, rules for one call may
// have different actions.
func randomProfile(rng *rand.Rand, mixed bool) *specs.LinuxSeccomp {
	action := func(isDefault bool) (specs.LinuxSeccompAction, *uint) {
		for {
			a := allActions[rng.IntN(len(allActions))]
			if isDefault && a == specs.ActNotify {
				continue
			}
			if (a == specs.ActErrno || a == specs.ActTrace) && rng.IntN(2) == 0 {
				n := []uint{1, 2, 38, 4094}[rng.IntN(4)]
				return a, &n
			}
			return a, nil
		}
	}
	s := &specs.LinuxSeccomp{Flags: []specs.LinuxSeccompFlag{}}
	s.DefaultAction, s.DefaultErrnoRet = action(true)
	for _, a := range subArches {
		if rng.IntN(2) == 0 {
			s.Architectures = append(s.Architectures, a)
		}
	}
	few := rng.Perm(len(randomNames))[:1+rng.IntN(8)]
	if rng.IntN(2) == 0 {
		few = rng.Perm(commonNames)[:1+rng.IntN(8)] // else libseccomp is often suspect, see model.suspect
	}
	values := []uint64{0, 1, 2, 3, 5, 8, 0xFFFFFFFF, 0x100000000, 0x100000001, 0x100000005, 0xFFFFFFFF00000000, ^uint64(0), rng.Uint64(), rng.Uint64() >> 32}
	rules := 1 + rng.IntN(12)
	if rng.IntN(20) == 0 {
		rules, few = 40, rng.Perm(len(randomNames))
	}
	theAction, theErrno := action(false)
	for range rules {
		var call specs.LinuxSyscall
		call.Action, call.ErrnoRet = theAction, theErrno
		if mixed {
			call.Action, call.ErrnoRet = action(false)
		}
		for range 1 + rng.IntN(2) {
			name := randomNames[few[rng.IntN(len(few))]]
			if name == "write" && call.Action == specs.ActNotify {
				name = "read"
			}
			call.Names = append(call.Names, name)
		}
		args := []int{0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3}[rng.IntN(12)]
		for range args {
			arg := specs.LinuxSeccompArg{
				Index: []uint{0, 0, 0, 1, 2, 5}[rng.IntN(6)],
				Op:    allOps[rng.IntN(len(allOps))],
				Value: values[rng.IntN(len(values))],
			}
			if arg.Op == specs.OpMaskedEqual {
				arg.ValueTwo = values[rng.IntN(len(values))]
				if rng.IntN(2) == 0 {
					arg.ValueTwo &= arg.Value
				}
			}
			call.Args = append(call.Args, arg)
		}
		s.Syscalls = append(s.Syscalls, call)
	}
	return s
}

// TestRandomProfiles compares verdicts with those of runc and libseccomp for profiles in which all rules have one
// action, and for such where the actions differ.
func TestRandomProfiles(t *testing.T) {
	o := startOracle(t)
	count := *randomCount
	if testing.Short() {
		count = min(count, 100)
	}
	for _, mixed := range []bool{false, true} {
		t.Run(fmt.Sprintf("mixed=%v", mixed), func(t *testing.T) {
			var sum comparison
			bothRefuse, theyRefuse, weRefuse, hangs, failed := 0, 0, 0, 0, 0
			for seed := range uint64(count) {
				rng := rand.New(rand.NewPCG(seed, 7))
				s := o.withoutNewer(t, randomProfile(rng, mixed))
				p, err := Compile(s, Options{Native: "SCMP_ARCH_X86_64"})
				theirs, theirErr := o.filter(t, s)
				switch {
				case errors.Is(theirErr, unix.ETIME):
					hangs++ // it does not come to an end, or crashes
					continue
				case err != nil && theirErr != nil:
					bothRefuse++
					continue
				case theirErr != nil:
					theyRefuse++
					continue
				case err != nil:
					if !errors.Is(err, errConflict) || !newModel(s, &stub{}).contradicts() {
						t.Fatalf("seed %d: only we refuse: %v\n%s", seed, err, show(s))
					}
					weRefuse++
					continue
				}
				if err := validate(p.Filter); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, show(s))
				}
				pair := &runcPair{o.stub(t, s), machine{filter: theirs}}
				c := compare(&machine{filter: p.Filter}, pair, s, rng, 600, 100)
				sum.runs, sum.strict, sum.wrong, sum.otherChoice = sum.runs+c.runs, sum.strict+c.strict, sum.wrong+c.wrong, sum.otherChoice+c.otherChoice
				for _, d := range c.diffs {
					t.Errorf("seed %d: %s", seed, d)
				}
				if len(c.diffs) > 0 {
					t.Error(show(s))
					if failed++; failed == 3 {
						t.FailNow()
					}
				}
			}
			t.Logf("%d profiles, %d runs, %d of them of named calls where libseccomp is not suspect; refused by both %d, by libseccomp alone %d, by us alone %d; libseccomp hangs %d; verdicts: libseccomp wrong %d, another of several matching rules %d",
				count, sum.runs, sum.strict, bothRefuse, theyRefuse, weRefuse, hangs, sum.wrong, sum.otherChoice)
		})
	}
}

func show(s *specs.LinuxSeccomp) string {
	b, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
