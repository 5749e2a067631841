package cgroup

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// access is one question to a device policy.
type access struct {
	kind         byte
	major, minor int64
	acc          uint8
}

// reference answers as the kernel's v1 controller does (security/device_cgroup.c): an
// exception from "deny" must cover the access, one from "allow" must share a letter with it.
func (p policy) reference(a access) bool {
	for _, r := range p.exceptions {
		if r.kind != a.kind || (r.major != wildcard && r.major != a.major) || (r.minor != wildcard && r.minor != a.minor) {
			continue
		}
		if p.allow && a.acc&r.access != 0 || !p.allow && a.acc&^r.access == 0 {
			return !p.allow
		}
	}
	return p.allow
}

// interpret runs a program of compile.
func interpret(t *testing.T, prog []insn, a access) bool {
	t.Helper()
	kind := uint32(2)
	if a.kind == 'b' {
		kind = 1
	}
	ctx := [3]uint32{kind | uint32(bpfAccess(a.acc))<<16, uint32(a.major), uint32(a.minor)}
	var reg [11]uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		dst, src := in.regs&15, in.regs>>4
		jump := false
		switch in.code {
		case opLoadW:
			if src != rCtx || in.off%4 != 0 || in.off/4 > 2 || pc > 5 {
				t.Fatalf("insn %d loads from elsewhere: %+v", pc, in)
			}
			reg[dst] = ctx[in.off/4]
		case opAnd32:
			reg[dst] &= uint32(in.imm)
		case opRsh32:
			reg[dst] >>= in.imm
		case opMov32:
			reg[dst] = uint32(in.imm)
		case opMovR32:
			reg[dst] = reg[src]
		case opJump:
			jump = true
		case opJeqK:
			jump = reg[dst] == uint32(in.imm)
		case opJeqR:
			jump = reg[dst] == reg[src]
		case opJsetK:
			jump = reg[dst]&uint32(in.imm) != 0
		case opExit:
			return reg[rResult] == 1
		default:
			t.Fatalf("insn %d has the unknown code %#x", pc, in.code)
		}
		if jump {
			if in.off <= 0 || pc+int(in.off) >= len(prog) {
				t.Fatalf("insn %d jumps %d", pc, in.off)
			}
			pc += int(in.off)
		}
	}
	t.Fatal("the program runs off its end")
	return false
}

func mustPolicy(t *testing.T, list ...specs.LinuxDeviceCgroup) policy {
	t.Helper()
	rules, err := parseRules(list)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rule(text string) specs.LinuxDeviceCgroup {
	// "+c 1:3 rw", "-a", "+b *:* m"
	d := specs.LinuxDeviceCgroup{Allow: text[0] == '+', Type: text[1:2], Access: "rwm"}
	f := strings.Fields(text[2:])
	if len(f) == 2 {
		maj, mnr, _ := strings.Cut(f[0], ":")
		num := func(s string) *int64 {
			if s == "*" {
				return nil
			}
			var n int64
			for _, c := range s {
				n = n*10 + int64(c-'0')
			}
			return &n
		}
		d.Major, d.Minor, d.Access = num(maj), num(mnr), f[1]
	}
	return d
}

func (p policy) String() string {
	s := "deny"
	if p.allow {
		s = "allow"
	}
	for _, e := range p.exceptions {
		s += ", " + e.String()
	}
	return s
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct{ rules, want string }{
		{"", "deny"},
		{"+a", "allow"},
		{"+a|-a", "deny"},
		{"-c 1:3 r", "deny"}, // nothing to take away
		{"+c 1:3 r|+c 1:3 w", "deny, c 1:3 rw"},
		{"+c 1:3 rwm|-c 1:3 w", "deny, c 1:3 rm"},
		{"+c 1:3 r|-c 1:3 rwm", "deny"},
		{"+c 9:1 r|+b 9:1 r|+c 1:* m|+c *:* m", "deny, c *:* m, c 1:* m, b 9:1 r, c 9:1 r"},
		{"+a|-c 1:3 w", "allow, c 1:3 w"},
		{"+c 1:* rw|-c 1:3 w", "!"}, // a hole in a wildcard
		{"+c 1:* rw|-c 1:3 m", "deny, c 1:* rw"},
		{"+c *:3 rw|-c 1:3 w", "!"},
		{"+b *:* rw|-c 1:3 w", "deny, b *:* rw"},
		{"+c 1:3 rwm|+a", "allow"},
	} {
		var list []specs.LinuxDeviceCgroup
		for r := range strings.SplitSeq(c.rules, "|") {
			if r != "" {
				list = append(list, rule(r))
			}
		}
		rules, err := parseRules(list)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newPolicy(rules)
		got := p.String()
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", c.rules, got, err, c.want)
		}
	}
}

// TestProgram compares the compiled program with the rule list for thousands of policies.
func TestProgram(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	num := func() *int64 {
		if rnd.Intn(4) == 0 {
			return nil
		}
		return ptr([]int64{0, 1, 3, 5, 1<<32 - 2}[rnd.Intn(5)])
	}
	accs := []string{"r", "w", "m", "rw", "rm", "wm", "rwm"}
	policies := []policy{mustPolicy(t, append(dockerResources().Devices, DefaultDevices()...)...)}
	for len(policies) < 500 {
		var list []specs.LinuxDeviceCgroup
		for range rnd.Intn(8) {
			list = append(list, specs.LinuxDeviceCgroup{
				Allow: rnd.Intn(2) == 0, Type: []string{"a", "b", "c", "c", "b"}[rnd.Intn(5)],
				Major: num(), Minor: num(), Access: accs[rnd.Intn(len(accs))],
			})
		}
		rules, err := parseRules(list)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := newPolicy(rules); err == nil {
			policies = append(policies, p)
		}
	}
	for _, p := range policies {
		prog := compile(p)
		for _, kind := range []byte("bc") {
			for _, major := range []int64{0, 1, 2, 3, 5, 10, 136, 1<<32 - 2} {
				for _, minor := range []int64{0, 1, 3, 5, 200, 1<<32 - 2} {
					for acc := uint8(1); acc < 8; acc++ {
						a := access{kind, major, minor, acc}
						if got, want := interpret(t, prog, a), p.reference(a); got != want {
							t.Fatalf("%v: %c %d:%d access %d is %v, want %v", p, kind, major, minor, acc, got, want)
						}
					}
				}
			}
		}
	}
}

// TestProgramDeniesPartly: denying "w" must stop an open for reading and writing.
func TestProgramDeniesPartly(t *testing.T) {
	p := mustPolicy(t, rule("+a"), rule("-c 1:3 w"))
	if interpret(t, compile(p), access{'c', 1, 3, accRead | accWrite}) {
		t.Error("read+write is allowed although write is denied")
	}
	if !interpret(t, compile(p), access{'c', 1, 3, accRead}) {
		t.Error("read is denied")
	}
}

func TestDevicesV1Writes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/devices.deny", "")
	write(t, dir+"/devices.allow", "")
	if err := setDevicesV1(dir, mustPolicy(t, rule("-a"), rule("+c 1:3 rw"), rule("+b *:* m"))); err != nil {
		t.Fatal(err)
	}
	if d, a := content(t, dir+"/devices.deny"), content(t, dir+"/devices.allow"); d != "a" || a != "b *:* mc 1:3 rw" {
		t.Errorf("deny %q, allow %q", d, a)
	}
	write(t, dir+"/devices.deny", "")
	write(t, dir+"/devices.allow", "")
	if err := setDevicesV1(dir, mustPolicy(t, rule("+a"), rule("-c 1:3 w"))); err != nil {
		t.Fatal(err)
	}
	if d, a := content(t, dir+"/devices.deny"), content(t, dir+"/devices.allow"); d != "c 1:3 w" || a != "a" {
		t.Errorf("deny %q, allow %q", d, a)
	}
}

// TestDevicesDefaultClosed: no rule in config.json means the default devices and no more; a
// group that was loaded is left alone.
func TestDevicesDefaultClosed(t *testing.T) {
	h, root := fakeHost(t, V1)
	mkdirs(t, root, "devices/c")
	g, _ := New(h, Config{Path: "/c"})
	write(t, root+"/devices/c/devices.deny", "")
	write(t, root+"/devices/c/devices.allow", "")
	if err := g.Apply(nil); err != nil {
		t.Fatal(err)
	}
	if d := content(t, root+"/devices/c/devices.deny"); d != "" {
		t.Errorf("a loaded group was written to: %q", d)
	}
	g.created = true
	if err := g.Apply(nil); err != nil {
		t.Fatal(err)
	}
	if d := content(t, root+"/devices/c/devices.deny"); d != "a" {
		t.Errorf("devices.deny has %q", d)
	}
	if a := content(t, root+"/devices/c/devices.allow"); !strings.Contains(a, "c 1:3 rwm") || strings.Contains(a, "rwmrwm") || strings.Contains(a, "a") {
		t.Errorf("devices.allow has %q", a)
	}
}

func TestInUserNS(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n": false,
		"         0     100000      65536\n": true,
		"0 1000 1\n1 100000 65536\n":         true,
	} {
		dir := proc(t, map[string]string{"uid_map": text})
		if got := inUserNS(dir + "/uid_map"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
