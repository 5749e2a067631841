package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The cache format, little-endian throughout:
//
//	offset      size  what
//	0           8     magic "hullbpf\n"
//	8           2     version: of the format and of the compiler; a file of another version is compiled anew
//	10          2     n, number of instructions, 1 to 4096
//	12          4     Flags
//	16          1     Notify, 0 or 1
//	17          1     w, number of warnings, 0 to 32
//	18          2     zero
//	20          8n    instructions: code (2), jt (1), jf (1), k (4)
//	20+8n             w warnings: length (2), bytes
//	end-8       8     FNV-1a (64 bits) of all bytes before
//
// The checksum finds torn and rotten files. It does not authenticate: who can write the cache decides what containers
// may do, so its directory belongs to the engine alone.
const (
	binaryMagic   = "hullbpf\n"
	binaryVersion = 1
	binaryHeader  = 20
	binarySum     = 8
	// maxWarningBytes is what the longest warning of this package stays below.
	maxWarningBytes = 512
)

// AppendBinary appends the program in the cache format to b.
func (p *Program) AppendBinary(b []byte) []byte {
	start := len(b)
	warnings := p.Warnings[:min(len(p.Warnings), maxWarnings)]
	b = append(b, binaryMagic...)
	b = binary.LittleEndian.AppendUint16(b, binaryVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p.Filter)))
	b = binary.LittleEndian.AppendUint32(b, p.Flags)
	notify := byte(0)
	if p.Notify {
		notify = 1
	}
	b = append(b, notify, byte(len(warnings)), 0, 0)
	for _, in := range p.Filter {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	for _, w := range warnings {
		w = w[:min(len(w), maxWarningBytes)]
		b = binary.LittleEndian.AppendUint16(b, uint16(len(w)))
		b = append(b, w...)
	}
	return binary.LittleEndian.AppendUint64(b, Sum64(b[start:]))
}

// ParseBinary reads what AppendBinary wrote. It fails on anything else: another version, missing or further bytes, a
// wrong checksum, and a program that Compile would not make and the kernel might refuse.
func ParseBinary(b []byte) (*Program, error) {
	if len(b) < binaryHeader+binarySum || string(b[:len(binaryMagic)]) != binaryMagic {
		return nil, errors.New("seccomp program: not a compiled filter")
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != binaryVersion {
		return nil, fmt.Errorf("seccomp program: version %d, want %d", v, binaryVersion)
	}
	sum := binary.LittleEndian.Uint64(b[len(b)-binarySum:])
	if b = b[:len(b)-binarySum]; Sum64(b) != sum {
		return nil, errors.New("seccomp program: the checksum does not match")
	}
	count, warnings := int(binary.LittleEndian.Uint16(b[10:])), int(b[17])
	if count < 1 || count > maxInstructions || warnings > maxWarnings || b[16] > 1 || b[18]|b[19] != 0 {
		return nil, errors.New("seccomp program: impossible header")
	}
	p := &Program{Flags: binary.LittleEndian.Uint32(b[12:]), Notify: b[16] == 1}
	if b = b[binaryHeader:]; len(b) < 8*count {
		return nil, fmt.Errorf("seccomp program: %d instructions announced, %d bytes left", count, len(b))
	}
	p.Filter = make([]unix.SockFilter, count)
	for i := range p.Filter {
		p.Filter[i] = unix.SockFilter{Code: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:])}
		b = b[8:]
	}
	for range warnings {
		if len(b) < 2 || len(b)-2 < int(binary.LittleEndian.Uint16(b)) {
			return nil, errors.New("seccomp program: a warning is cut off")
		}
		n := int(binary.LittleEndian.Uint16(b))
		p.Warnings = append(p.Warnings, string(b[2:2+n]))
		b = b[2+n:]
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("seccomp program: %d bytes too many", len(b))
	}
	if p.Notify != (p.Flags&flagNotify != 0) {
		return nil, errors.New("seccomp program: the listener flag does not match")
	}
	if err := checkProgram(p.Filter); err != nil {
		return nil, err
	}
	return p, nil
}

// checkProgram checks that a program has only instructions that Compile makes, that jumps stay inside, and that every
// path ends in a verdict. All jumps of BPF go forward, so it suffices that the last instruction is a return.
func checkProgram(filter []unix.SockFilter) error {
	for i, in := range filter {
		left := uint32(len(filter) - i - 1) // instructions behind this one
		ok := false
		switch in.Code {
		case insLoad:
			ok = left > 0 && in.K%4 == 0 && in.K <= offArgs+8*maxArg+4
		case insAnd:
			ok = left > 0
		case insJump:
			ok = in.K < left
		case insJEQ, insJGE, insJSET:
			ok = uint32(in.Jt) < left && uint32(in.Jf) < left
		case insRet:
			ok = true
		}
		if !ok {
			return fmt.Errorf("seccomp program: instruction %d (code %#x, jt %d, jf %d, k %#x) is not possible", i, in.Code, in.Jt, in.Jf, in.K)
		}
	}
	return nil
}

// Sum64 is the 64-bit FNV-1a hash: the checksum of the cache format, and good for the name of a
// cached file. It authenticates nothing.
func Sum64(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
