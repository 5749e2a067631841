package launch

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AppendText appends the plan for people and for golden tests, a line a step:
//
//	012 $tree = fsmount($fs, 0x1, 0xe)   # mount proc on /proc
//	013 openat2($root, "proc", {O_PATH|… }) ok ENOENT else 020
//
// Addresses are not printed, so the same plan gives the same text.
func (p *Plan) AppendText(b []byte) []byte {
	p.seal()
	last := ""
	for i := range p.steps {
		if d := p.describe(i); d != last {
			b = append(append(append(b, "# "...), d...), '\n')
			last = d
		}
		b = p.appendStep(b, i)
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

func (p *Plan) appendStep(b []byte, i int) []byte {
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
		b = p.appendArg(b, s.args[j], n.kinds[j])
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

func (p *Plan) appendArg(b []byte, v uintptr, k kind) []byte {
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
