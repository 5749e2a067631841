package launch

import (
	"encoding/binary"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AppendText appends the plan for people and for golden tests, a line a step:
//
//	# mount proc on /proc
//	012 $tree = fsmount($fs, 0x1, 0xe)
//	013 openat2($root, "proc", {0x200000 00 0x12}, 24) ok ENOENT else 020
//
// Addresses and numbers of descriptors are not printed, so the same plan gives the same text.
func (p *Plan) AppendText(b []byte) []byte {
	p.seal()
	last := ""
	printed := make([]uintptr, 0, 2)
	for i := range p.steps {
		if d := p.describe(i); d != last {
			b = append(append(append(b, "# "...), d...), '\n')
			last = d
		}
		b = p.appendStep(b, i, &printed)
		b = append(b, '\n')
	}
	return b
}

func appendIndex(b []byte, i int) []byte {
	for d := 100; d > 1 && i < d; d /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(i), 10)
}

func (p *Plan) appendStep(b []byte, i int, printed *[]uintptr) []byte {
	s, n := &p.steps[i], &p.notes[i]
	b = append(appendIndex(b, i), ' ')
	if s.out != 0 {
		b = append(append(append(b, '$'), p.names[s.out]...), " = "...)
	}
	b = append(append(b, n.call...), '(')
	for j := range int(n.n) {
		if j > 0 {
			b = append(b, ", "...)
		}
		b = p.appendArg(b, s.args[j], n.kinds[j], printed)
	}
	b = append(b, ')')
	if s.op == opWant {
		b = strconv.AppendUint(append(b, " want "...), uint64(s.want), 10)
	}
	for k, e := range s.ok {
		if e != 0 {
			if k == 0 {
				b = append(b, " ok"...)
			}
			b = append(append(b, ' '), unix.ErrnoName(unix.Errno(e))...)
		}
	}
	if s.other != 0 {
		b = appendIndex(append(b, " else "...), int(s.other))
	}
	return b
}

// appendArg prints an argument. A list that has been printed before is not again: each
// candidate of an execve has the same arguments and environment.
func (p *Plan) appendArg(b []byte, v uintptr, k kind, printed *[]uintptr) []byte {
	switch k {
	case kInt:
		return strconv.AppendInt(b, int64(int32(v)), 10)
	case kHex:
		return strconv.AppendUint(append(b, "0x"...), uint64(v), 16)
	case kOct:
		return strconv.AppendUint(append(b, '0'), uint64(v), 8)
	case kStr:
		return strconv.AppendQuote(b, cstring(v))
	case kSlot:
		return append(append(b, '$'), p.names[uint8(v)]...)
	case kFD:
		for _, f := range p.fds {
			if f.fd == int(int32(v)) {
				return append(append(b, '@'), f.name...)
			}
		}
		return strconv.AppendInt(append(b, '@'), int64(int32(v)), 10)
	case kData:
		b = append(b, '{')
		for _, d := range p.data {
			if uintptr(unsafe.Pointer(unsafe.SliceData(d))) != v {
				continue
			}
			for i := 0; i+4 <= len(d); i += 4 {
				if i > 0 {
					b = append(b, ' ')
				}
				b = strconv.AppendUint(append(b, "0x"...), uint64(binary.NativeEndian.Uint32(d[i:])), 16)
			}
			break
		}
		return append(b, '}')
	case kHow:
		h := (*unix.OpenHow)(pointer(v))
		b = append(strconv.AppendUint(append(b, "{0x"...), h.Flags, 16), " 0"...)
		b = append(strconv.AppendUint(b, h.Mode, 8), " 0x"...)
		return append(strconv.AppendUint(b, h.Resolve, 16), '}')
	case kAttr:
		a := (*unix.MountAttr)(pointer(v))
		b = append(strconv.AppendUint(append(b, "{set 0x"...), a.Attr_set, 16), " clear 0x"...)
		b = append(strconv.AppendUint(b, a.Attr_clr, 16), " propagation 0x"...)
		return append(strconv.AppendUint(b, a.Propagation, 16), '}')
	case kClone:
		return append(strconv.AppendUint(append(b, "{0x"...), (*cloneArgs)(pointer(v)).flags, 16), '}')
	case kList:
		if slices.Contains(*printed, v) {
			return append(b, "[…]"...)
		}
		*printed = append(*printed, v)
		b = append(b, '[')
		for first := true; *(*uintptr)(pointer(v)) != 0; v += unsafe.Sizeof(v) {
			if !first {
				b = append(b, ' ')
			}
			first = false
			b = strconv.AppendQuote(b, cstring(*(*uintptr)(pointer(v))))
		}
		return append(b, ']')
	}
	return append(b, "mem"...)
}

// pointer turns an address kept in a plan back into a pointer; the plan keeps the object alive.
func pointer(v uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&v)) }

func cstring(v uintptr) string {
	if v == 0 {
		return ""
	}
	return unix.BytePtrToString((*byte)(pointer(v)))
}
