package seccomp

import (
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestFarJumps compiles a profile of thousands of instructions, in which most jumps need a bridge.
func TestFarJumps(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86}}
	index := uint64(0)
	for i := range numNames {
		name := nameAt(i)
		if mux, _ := multiplexed(i); mux != 0 || i%2 == 0 {
			continue
		}
		index++
		errno := uint(1 + i%7)
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &errno,
			Args: []specs.LinuxSeccompArg{{Index: uint(i % 6), Value: index | index<<32, Op: specs.OpEqualTo}}})
	}
	p := mustCompile(t, s)
	bridges := 0
	for _, in := range p.Filter {
		if in.Code == insJump {
			bridges++
		}
	}
	if len(p.Filter) < 2000 || bridges < 10 {
		t.Errorf("%d instructions with %d bridges test nothing", len(p.Filter), bridges)
	}
	c := compare(&machine{filter: p.Filter}, &runcPair{&stub{}, machine{filter: p.Filter}}, s, rand.New(rand.NewPCG(6, 7)), 600, 100)
	for _, d := range c.diffs {
		t.Error(d)
	}
	t.Logf("%d instructions, %d bridges, %d runs", len(p.Filter), bridges, c.runs)
}

// TestBridge checks that jumps to one far target share a bridge and that each gets where it should.
func TestBridge(t *testing.T) {
	var a assembler
	far := a.emit(insRet, 0, 0, 1)
	for range 400 {
		a.emit(insLoad, 0, 0, 0)
	}
	first := a.near(far)
	if again := a.near(far); again != first || len(a.code) != 402 {
		t.Errorf("two bridges for one target: %v, %v", first, again)
	}
	other := a.near(target{at: 1})
	if other == first {
		t.Error("one bridge for two targets")
	}
	for _, test := range []struct{ from, to target }{{first, far}, {other, target{at: 1}}} {
		if in := a.code[test.from.at]; test.from.at-1-int(in.K) != test.to.at {
			t.Errorf("the bridge at %d leads to %d, want %d", test.from.at, test.from.at-1-int(in.K), test.to.at)
		}
	}
}
