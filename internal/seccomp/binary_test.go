package seccomp

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestBinary writes programs and reads them back.
func TestBinary(t *testing.T) {
	for name, s := range dockerProfiles(t) {
		p := mustCompile(t, s)
		b := p.AppendBinary([]byte("before"))
		if string(b[:6]) != "before" {
			t.Fatalf("%s: AppendBinary overwrote what was there", name)
		}
		back, err := ParseBinary(b[6:])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(p, back) {
			t.Errorf("%s: read back\n%+v\nwrote\n%+v", name, back, p)
		}
	}
}

func smallProgram(t testing.TB) *Program {
	n := uint(7)
	return mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"mkdir", "nonsense"}, Action: specs.ActErrno, ErrnoRet: &n},
		{Names: []string{"clone"}, Action: specs.ActNotify, Args: []specs.LinuxSeccompArg{{Value: 0xF0, ValueTwo: 0x30, Op: specs.OpMaskedEqual}}},
	}})
}

// resum sets the checksum anew.
func resum(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(b[:len(b)-binarySum], Sum64(b[:len(b)-binarySum]))
}

// TestBinaryDamage cuts, extends and changes a file at every place. With the right checksum for the changed file the
// result must be an error or a program that the kernel would take.
func TestBinaryDamage(t *testing.T) {
	p := smallProgram(t)
	good := p.AppendBinary(nil)
	if _, err := ParseBinary(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := ParseBinary(good[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(good))
		}
	}
	if _, err := ParseBinary(append(good[:len(good):len(good)], 0)); err == nil {
		t.Error("a byte more: no error")
	}
	accepted := 0
	for i := range good {
		for _, change := range []byte{1, 0x80, 0xFF} {
			b := append([]byte(nil), good...)
			b[i] ^= change
			if _, err := ParseBinary(b); err == nil {
				t.Errorf("byte %d changed by %#x: no error", i, change)
			}
			if i >= len(good)-binarySum {
				continue
			}
			q, err := ParseBinary(resum(b))
			if err != nil {
				continue
			}
			accepted++
			if err := validate(q.Filter); err != nil {
				t.Errorf("byte %d changed by %#x: accepted, but %v", i, change, err)
			}
		}
	}
	if accepted == 0 {
		t.Error("resum does not work: nothing was accepted")
	}
}

// TestBinaryHostile gives ParseBinary files with the right checksum and impossible contents.
func TestBinaryHostile(t *testing.T) {
	good := smallProgram(t).AppendBinary(nil)
	const first = binaryHeader
	warning := binaryHeader + 8*int(binary.LittleEndian.Uint16(good[10:]))
	lastCode := warning - 8
	for _, test := range []struct {
		name, want string
		change     func(b []byte)
	}{
		{"magic", "not a compiled filter", func(b []byte) { b[0] = 'x' }},
		{"version", "version 2, want 1", func(b []byte) { b[8] = 2 }},
		{"no instructions", "impossible header", func(b []byte) { b[10], b[11] = 0, 0 }},
		{"4097 instructions", "impossible header", func(b []byte) { binary.LittleEndian.PutUint16(b[10:], 4097) }},
		{"4096 instructions", "4096 instructions announced", func(b []byte) { binary.LittleEndian.PutUint16(b[10:], 4096) }},
		{"33 warnings", "impossible header", func(b []byte) { b[17] = 33 }},
		{"notify", "impossible header", func(b []byte) { b[16] = 2 }},
		{"listener flag", "listener flag does not match", func(b []byte) { b[16] = 0 }},
		{"reserved", "impossible header", func(b []byte) { b[18] = 1 }},
		{"warning too long", "a warning is cut off", func(b []byte) { b[warning] = 0xFF }},
		{"warning too short", "bytes too many", func(b []byte) { b[warning]-- }},
		{"more warnings", "a warning is cut off", func(b []byte) { b[17]++ }},
		{"fewer warnings", "bytes too many", func(b []byte) { b[17]-- }},
		{"load outside", "instruction 0 ", func(b []byte) { b[first+4] = 64 }},
		{"load unaligned", "instruction 0 ", func(b []byte) { b[first+4] = 2 }},
		{"unknown code", "instruction 0 ", func(b []byte) { b[first] = unix.BPF_LDX }},
		{"jump outside", "instruction 1 ", func(b []byte) { b[first+8+2] = 255 }},
		{"else outside", "instruction 1 ", func(b []byte) { b[first+8+3] = 255 }},
		{"far jump around", "instruction 0 ", func(b []byte) { b[first] = insJump; binary.LittleEndian.PutUint32(b[first+4:], 0xFFFFFFFF) }},
		{"no end", "is not possible", func(b []byte) { binary.LittleEndian.PutUint16(b[lastCode:], insAnd) }},
		{"load at the end", "is not possible", func(b []byte) { binary.LittleEndian.PutUint16(b[lastCode:], insLoad); b[lastCode+4] = 0 }},
	} {
		b := append([]byte(nil), good...)
		test.change(b)
		p, err := ParseBinary(resum(b))
		if err == nil || !strings.Contains(err.Error(), test.want) || p != nil {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

// TestBinaryJumps gives ParseBinary the longest jump that stays inside and the shortest one that does not.
func TestBinaryJumps(t *testing.T) {
	ret := unix.SockFilter{Code: insRet}
	for _, test := range []struct {
		in unix.SockFilter
		ok bool
	}{
		{unix.SockFilter{Code: insJump, K: 1}, true},
		{unix.SockFilter{Code: insJump, K: 2}, false},
		{unix.SockFilter{Code: insJEQ, Jt: 1, Jf: 0}, true},
		{unix.SockFilter{Code: insJEQ, Jt: 0, Jf: 1}, true},
		{unix.SockFilter{Code: insJEQ, Jt: 2, Jf: 0}, false},
		{unix.SockFilter{Code: insJEQ, Jt: 0, Jf: 2}, false},
	} {
		p := &Program{Filter: []unix.SockFilter{test.in, ret, ret}}
		if (validate(p.Filter) == nil) != test.ok {
			t.Fatalf("%+v: the test is wrong", test.in)
		}
		if _, err := ParseBinary(p.AppendBinary(nil)); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test.in, err)
		}
	}
}
