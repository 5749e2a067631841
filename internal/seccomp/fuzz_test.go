package seccomp

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// FuzzCompile: whatever the JSON, Compile does not panic, and what it makes is a valid program that agrees with the
// model and survives the cache.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no profiles: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint64(1))
	}
	for seed := range uint64(20) {
		f.Add([]byte(show(randomProfile(rand.New(rand.NewPCG(seed, 1)), seed%2 == 0))), seed)
	}
	f.Add([]byte(show(dockerProfile(f))), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var s specs.LinuxSeccomp
		if json.Unmarshal(b, &s) != nil {
			// Most mutations break the JSON; let such input choose a random profile.
			s = *randomProfile(rand.New(rand.NewPCG(Sum64(b), seed)), seed%2 == 0)
		}
		for _, native := range []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} {
			p, err := Compile(&s, Options{Native: native})
			if err != nil || p == nil {
				if p != nil {
					t.Fatalf("a program and an error: %v", err)
				}
				continue
			}
			if err := validate(p.Filter); err != nil {
				t.Fatalf("%v\n%s", err, disassemble(p.Filter))
			}
			q, err := ParseBinary(p.AppendBinary(nil))
			if err != nil {
				t.Fatalf("reading back: %v", err)
			}
			if !reflect.DeepEqual(p, q) {
				t.Fatalf("read back\n%+v\nwrote\n%+v", q, p)
			}
			if native == "SCMP_ARCH_X86_64" {
				agree(t, p, &s, seed)
			}
		}
	})
}

// agree compares a program with the model at a few places.
func agree(t *testing.T, p *Program, s *specs.LinuxSeccomp, seed uint64) {
	known := s.Architectures[:0:0]
	for _, a := range s.Architectures {
		if findABI(string(a)) != nil {
			known = append(known, a)
		}
	}
	c := *s
	c.Architectures = known
	m := newModel(&c, modelStub(&c))
	rng := rand.New(rand.NewPCG(seed, 3))
	values := argValues(&c)
	vm := machine{filter: p.Filter}
	try := func(arch, nr uint32) {
		d := &data{nr: nr, arch: arch}
		for i := range d.args {
			d.args[i] = values[i][rng.IntN(len(values[i]))]
		}
		got, _ := vm.run(d)
		for _, want := range m.verdicts(d) {
			if got == want {
				return
			}
		}
		t.Fatalf("arch %#x nr %#x args %#x: %s, want one of %#x", d.arch, d.nr, d.args, verdictName(got), m.verdicts(d))
	}
	for key := range m.calls {
		for range 8 {
			try(key[0], key[1])
		}
		try(key[0], key[1]+1)
		try(key[0], key[1]-1)
	}
	for _, arch := range audits {
		for range 4 {
			try(arch, rng.Uint32N(1024)|rng.Uint32N(4)<<30)
		}
	}
}

// modelStub is oracle.stub with our own tables.
func modelStub(s *specs.LinuxSeccomp) *stub {
	st := &stub{largest: make(map[uint32]uint32)}
	switch s.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
		return st
	}
	for _, name := range append([]specs.Arch{specs.ArchX86_64}, s.Architectures...) {
		a := findABI(string(name))
		for _, call := range s.Syscalls {
			for _, name := range call.Names {
				index := findName(name)
				if index < 0 {
					continue
				}
				if mux, _ := multiplexed(index); a.mux && mux != 0 {
					continue
				}
				if nr, ok := a.number(index); ok && nr > 0 {
					st.largest[a.audit^a.bit] = max(st.largest[a.audit^a.bit], nr)
				}
			}
		}
	}
	return st
}

// FuzzParseBinary: whatever the bytes, ParseBinary does not panic, and what it accepts is a valid program that is
// written in the same way again.
func FuzzParseBinary(f *testing.F) {
	f.Add(smallProgram(f).AppendBinary(nil), true)
	f.Add((&Program{Filter: []unix.SockFilter{{Code: insRet}}}).AppendBinary(nil), false)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix && len(b) >= binarySum {
			b = resum(append([]byte(nil), b...)) // else the checksum keeps the fuzzer out
		}
		p, err := ParseBinary(b)
		if err != nil {
			return
		}
		if err := validate(p.Filter); err != nil {
			t.Fatalf("%v\n%s", err, disassemble(p.Filter))
		}
		if again := p.AppendBinary(nil); len(p.Warnings) == 0 && string(again) != string(b) {
			t.Fatalf("written as %x", again)
		}
	})
}
