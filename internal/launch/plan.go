package launch

import (
	"strconv"
	"strings"
	"unicode"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Slot names a cell that holds the result of a step. The zero Slot is the bin.
type Slot uint8

// Report is the slot that holds the child's end of the report pipe from the start.
const Report Slot = 1

// Label names a place in the plan, bound by [Plan.Bind]. The zero Label is "the next step".
type Label int32

// maxSlots is the number of result cells of a plan.
const maxSlots = 256

// kind says how an argument is printed.
type kind uint8

const (
	kInt kind = iota
	kHex
	kOct
	kStr
	kSlot
	kHow   // *unix.OpenHow
	kAttr  // *unix.MountAttr
	kMem   // scratch or other memory
	kList  // NULL-terminated vector of strings
	kClone // *cloneArgs
	kFD    // descriptor of the parent, printed by its name
	kData  // memory whose 32-bit words are printed
)

// Arg is one argument of a system call.
type Arg struct {
	v uintptr
	k kind
}

// Int is a plain number, printed in decimal.
func Int(v int) Arg { return Arg{uintptr(v), kInt} }

// Hex is a number printed in hexadecimal: flags.
func Hex(v uint64) Arg { return Arg{uintptr(v), kHex} }

// Oct is a number printed in octal: a file mode.
func Oct(v uint32) Arg { return Arg{uintptr(v), kOct} }

// FD is a descriptor of the parent's that the child keeps; every one that a plan uses must
// come from here, because the child closes all others before the first step. Its number differs
// from run to run, so it is printed by name: "@sync".
func (p *Plan) FD(fd int, name string) Arg {
	p.fds = append(p.fds, namedFD{fd, name})
	return Arg{uintptr(fd), kFD}
}

// Inherit makes the child keep the n descriptors from 3 on, for the program.
func (p *Plan) Inherit(n int) { p.inherit = n }

// namedFD is what the parent calls a descriptor.
type namedFD struct {
	fd   int
	name string
}

// Of is the result that an earlier step left in a slot.
func Of(s Slot) Arg { return Arg{uintptr(s), kSlot} }

// op is what a step does.
type op uint8

const (
	opCall     op = iota // a system call
	opWant               // a system call that must return exactly want
	opJump               // continue at other
	opJumpZero           // continue at other if slot args[0] is 0
	opStore32            // *(uint32 *)args[0] = slot args[1]
	opStore64            // *(uint64 *)args[0] = slot args[1]
	opAssert             // (*(uint32 *)args[0] & args[1]) == args[2], else other, or failure args[3]
	opSet                // slot out = args[0]
	opFail               // fail with errno args[0]
	opFailSlot           // fail with the errno that slot args[0] holds, if it is not 0
	opExit               // exit_group(args[0])
	opLoad32             // slot out = *(uint32 *)args[0]
	opClose              // close_range of each pair (first, last) of words at args[5], up to (0, 0)
)

// step is read by the child: plain words only.
type step struct {
	args  [6]uintptr
	other int32     // where to go on a tolerated errno (or jump), 0: the next step
	nr    uint32    // system call number
	want  uint32    // opWant
	ok    [4]uint16 // tolerated errnos
	op    op
	out   Slot
	refs  uint8 // bit i: args[i] is a slot
}

// note is what the parent remembers of a step, for print and for errors.
type note struct {
	call  string
	verb  string
	obj   string
	kinds [6]kind
	n     uint8
}

// Plan is a list of steps under construction, and the memory they point to.
type Plan struct {
	steps   []step
	notes   []note
	labels  []int32 // label -> step index, -1 while unbound
	names   [maxSlots]string
	fds     []namedFD
	inherit int
	data    [][]byte // what kData arguments point to
	slots   int
	verb    string
	obj     string
	arena   []byte
	keep    []any
	others  []closing
	rebirth bool // there is a Rebirth, before any notice
	size    int
	sealed  bool
}

// New returns an empty plan.
func New() *Plan {
	return &Plan{
		steps:  make([]step, 0, 1024),
		notes:  make([]note, 0, 1024),
		labels: make([]int32, 1, 64),
		names:  [maxSlots]string{Report: "report"},
		slots:  int(Report) + 1,
		arena:  make([]byte, 0, 16<<10),
	}
}

// Len is the number of steps so far.
func (p *Plan) Len() int { return len(p.steps) }

// Size is the number of bytes that the plan's arguments take.
func (p *Plan) Size() int { return p.size }

// Slot reserves a result cell. The name is for print.
func (p *Plan) Slot(name string) Slot {
	if p.slots == maxSlots {
		panic("launch: a plan needs more than 255 slots; reuse them")
	}
	s := Slot(p.slots)
	p.names[p.slots] = name
	p.slots++
	return s
}

// Doing says what the following steps do and to what object: "mount", "/proc".
func (p *Plan) Doing(verb, obj string) { p.verb, p.obj = verb, obj }

// Str copies s, NUL-terminated, into memory that lives as long as the plan.
// The caller has checked that s holds no NUL.
func (p *Plan) Str(s string) Arg { return Arg{p.cstr(s), kStr} }

func (p *Plan) cstr(s string) uintptr {
	b := p.alloc(len(s)+1, 1)
	copy(b, s)
	b[len(s)] = 0
	return uintptr(unsafe.Pointer(&b[0]))
}

// alloc returns n zero bytes from the arena, whose chunks never move.
func (p *Plan) alloc(n, align int) []byte {
	p.size += n
	off := (len(p.arena) + align - 1) &^ (align - 1)
	if off+n > cap(p.arena) {
		p.keep = append(p.keep, p.arena)
		p.arena = make([]byte, 0, max(8192, n))
		off = 0
	}
	p.arena = p.arena[:off+n]
	return p.arena[off : off+n : off+n]
}

// Mem reserves n bytes of zeroed scratch memory, 8-byte aligned.
func (p *Plan) Mem(n int) ([]byte, Arg) {
	b := p.alloc(n, 8)
	return b, Arg{uintptr(unsafe.Pointer(&b[0])), kMem}
}

// Data is like Mem for a structure whose content says what the step does (limits, capability
// sets): it is printed, as 32-bit words. n is a multiple of 4.
func (p *Plan) Data(n int) ([]byte, Arg) {
	b := p.alloc(max(n, 4), 8)[:n]
	p.data = append(p.data, b)
	return b, Arg{uintptr(unsafe.Pointer(unsafe.SliceData(b))), kData}
}

// Strs lays out a NULL-terminated vector of C strings, as execve(2) wants.
func (p *Plan) Strs(list []string) Arg {
	v := make([]uintptr, len(list)+1)
	for i, s := range list {
		v[i] = p.cstr(s)
	}
	p.keep = append(p.keep, v)
	return Arg{uintptr(unsafe.Pointer(&v[0])), kList}
}

// Keep makes x live as long as the plan: memory that an argument points to.
func (p *Plan) Keep(x any) { p.keep = append(p.keep, x) }

// Step lets the caller refine the step just added. It is valid until the next one is added.
type Step struct {
	p *Plan
	i int
}

// Call adds a system call.
func (p *Plan) Call(name string, nr uintptr, args ...Arg) Step {
	s := step{nr: uint32(nr)}
	n := note{call: name, verb: p.verb, obj: p.obj, n: uint8(len(args))}
	for i, a := range args {
		s.args[i] = a.v
		n.kinds[i] = a.k
		if a.k == kSlot {
			s.refs |= 1 << i
		}
	}
	return p.add(s, n)
}

func (p *Plan) add(s step, n note) Step {
	if p.sealed {
		panic("launch: step added to a sealed plan")
	}
	p.steps = append(p.steps, s)
	p.notes = append(p.notes, n)
	return Step{p, len(p.steps) - 1}
}

func (p *Plan) pseudo(o op, name string, args ...Arg) Step {
	st := p.Call(name, 0, args...)
	s := &p.steps[st.i]
	s.op = o
	s.refs = 0
	return st
}

// Out keeps the result in a slot. After a tolerated errno the slot holds -errno.
func (s Step) Out(slot Slot) Step { s.p.steps[s.i].out = slot; return s }

// Ok tolerates errnos: the plan goes on with the next step, or at the label given by Else.
func (s Step) Ok(errnos ...uint16) Step {
	ok := &s.p.steps[s.i].ok
	for _, e := range errnos {
		for i := range ok {
			if ok[i] == 0 {
				ok[i] = e
				break
			}
			if i == len(ok)-1 {
				panic("launch: too many tolerated errnos")
			}
		}
	}
	return s
}

// Else says where to go on after a tolerated errno or a failed assertion.
func (s Step) Else(l Label) Step { s.p.steps[s.i].other = -int32(l); return s }

// Want demands an exact result; anything else fails with EPROTO.
func (s Step) Want(n uint32) Step {
	st := &s.p.steps[s.i]
	st.op, st.want = opWant, n
	return s
}

// NewLabel makes a label to be bound later.
func (p *Plan) NewLabel() Label {
	p.labels = append(p.labels, -1)
	return Label(len(p.labels) - 1)
}

// Bind puts the label at the next step to be added.
func (p *Plan) Bind(l Label) { p.labels[l] = int32(len(p.steps)) }

// Jump continues at l.
func (p *Plan) Jump(l Label) { p.pseudo(opJump, "jump").Else(l) }

// JumpZero continues at l if the slot holds 0.
func (p *Plan) JumpZero(s Slot, l Label) { p.pseudo(opJumpZero, "jump-if-zero", Of(s)).Else(l) }

// Store32 writes the low 32 bits of a slot to memory: an fd into a control message.
func (p *Plan) Store32(mem []byte, s Slot) {
	p.pseudo(opStore32, "store32", Arg{uintptr(unsafe.Pointer(&mem[0])), kMem}, Of(s))
	_ = mem[3]
}

// Store64 writes a slot to memory, for a write(2) to the parent.
func (p *Plan) Store64(mem []byte, s Slot) {
	p.pseudo(opStore64, "store64", Arg{uintptr(unsafe.Pointer(&mem[0])), kMem}, Of(s))
	_ = mem[7]
}

// Assert32 checks that the 32-bit word at mem, masked, equals want; otherwise the step
// fails with errno, or the plan goes on at the label given by Else.
func (p *Plan) Assert32(mem []byte, mask, want uint32, errno uint16) Step {
	_ = mem[3]
	return p.pseudo(opAssert, "assert", Arg{uintptr(unsafe.Pointer(&mem[0])), kMem}, Hex(uint64(mask)), Hex(uint64(want)), Int(int(errno)))
}

// Set puts a constant into a slot.
func (p *Plan) Set(s Slot, v int) { p.SetArg(s, Int(v)) }

// SetArg puts a constant that has a name of its own into a slot: a descriptor of the parent's.
func (p *Plan) SetArg(s Slot, a Arg) { p.pseudo(opSet, "set", a).Out(s) }

// Fail fails with the given errno.
func (p *Plan) Fail(errno uint16) { p.pseudo(opFail, "fail", Int(int(errno))) }

// FailSlot fails with the errno that a tolerated step left in the slot, if there is one.
func (p *Plan) FailSlot(s Slot) { p.pseudo(opFailSlot, "fail-if", Of(s)) }

// Exit ends the process that executes the plan.
func (p *Plan) Exit(code int) { p.pseudo(opExit, "exit", Int(code)) }

// seal resolves labels to step indices and proves that every jump goes forward and stays inside.
func (p *Plan) seal() {
	if p.sealed {
		return
	}
	for i := range p.steps {
		s := &p.steps[i]
		if s.other >= 0 {
			continue
		}
		t := p.labels[-s.other]
		if int(t) <= i || int(t) > len(p.steps) {
			panic("launch: step " + p.notes[i].call + " jumps to an unbound label or backwards")
		}
		s.other = t
	}
	p.sealed = true
}

// describe says what step i does: "mount proc on /proc".
func (p *Plan) describe(i int) string {
	n := p.notes[i]
	obj := n.obj
	if strings.ContainsFunc(obj, unicode.IsControl) { // one line, whatever config.json holds
		obj = strconv.Quote(obj)
	}
	return strings.TrimSpace(n.verb + " " + obj)
}

// How lays out a struct open_how for openat2(2).
func (p *Plan) How(flags, resolve uint64, mode uint32) Arg {
	b := p.alloc(int(unsafe.Sizeof(unix.OpenHow{})), 8)
	*(*unix.OpenHow)(unsafe.Pointer(&b[0])) = unix.OpenHow{Flags: flags, Mode: uint64(mode), Resolve: resolve}
	return Arg{uintptr(unsafe.Pointer(&b[0])), kHow}
}

// Attr lays out a struct mount_attr for mount_setattr(2).
func (p *Plan) Attr(set, clear, propagation uint64) Arg {
	b := p.alloc(int(unsafe.Sizeof(unix.MountAttr{})), 8)
	*(*unix.MountAttr)(unsafe.Pointer(&b[0])) = unix.MountAttr{Attr_set: set, Attr_clr: clear, Propagation: propagation}
	return Arg{uintptr(unsafe.Pointer(&b[0])), kAttr}
}

// To makes the argument point to memory of the caller, which must [Plan.Keep] it.
func (a Arg) To(x unsafe.Pointer) Arg { return Arg{uintptr(x), kMem} }
