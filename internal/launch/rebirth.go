package launch

import (
	"encoding/binary"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Rebirth is a [Plan.Fork] whose second process goes on at once: the way into a pid namespace
// that was joined, of which nothing before it can be seen from inside. [Child.Pid] and
// [Child.PidFD] are the second's once [Child.Next] has returned. The child must be in the
// parent's pid namespace, and no notice may come before.
func (p *Plan) Rebirth() {
	p.rebirth = true
	pid, second := p.Slot("reborn"), p.NewLabel()
	pidfd, _ := p.Mem(4)
	p.Fork(0, pidfd).Out(pid)
	p.JumpZero(pid, second)
	mem, arg := p.Mem(8)
	binary.NativeEndian.PutUint32(mem, recordRebirth)
	p.Store32(mem[4:], pid)
	p.Call("write", unix.SYS_WRITE, Of(Report), arg, Int(8)).Want(8)
	p.Exit(0)
	p.Bind(second)
}

// adopt takes the second process in the place of the first.
func (c *Child) adopt(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0) // it is our child and not reaped: the number is not another's
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	return c.Succeed(fd)
}

// drain reads what comes after a failure: the record of a rebirth, when the second process was
// quicker to fail than the first to tell of it.
func (c *Child) drain() {
	for {
		a, v, err := c.record()
		if err != nil {
			return
		}
		if a == recordRebirth {
			c.adopt(int(v))
		}
	}
}

// closing is a step of [Plan.CloseOthers]: the descriptors to keep, and the pairs for the child.
type closing struct {
	keep  []int // in ascending order
	first int
	pairs []byte
}

// CloseOthers closes every descriptor from first on but those to keep (at most three) and the
// report pipe. Unlike close-on-exec it leaves nothing to see for who may look at the process
// before it executes its program (CVE-2016-9962, CVE-2024-21626).
func (p *Plan) CloseOthers(first int, keep ...int) {
	pairs, arg := p.Mem(8 * (len(keep) + 3))
	args := []Arg{Int(first), Of(Report)}
	for _, fd := range keep {
		args = append(args, Int(fd))
	}
	st := p.pseudo(opClose, "close-others", args...)
	p.steps[st.i].args[5] = arg.v
	slices.Sort(keep)
	p.others = append(p.others, closing{keep, first, pairs})
}

// fill writes the gaps between the descriptors to keep, now that the report's number is known.
func (c closing) fill(report int) {
	keep := append(slices.Clone(c.keep), report)
	slices.Sort(keep)
	next, b := c.first, c.pairs[:0]
	for _, fd := range keep {
		if fd > next {
			b = binary.NativeEndian.AppendUint32(b, uint32(next))
			b = binary.NativeEndian.AppendUint32(b, uint32(fd-1))
		}
		next = max(next, fd+1)
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(next))
	binary.NativeEndian.AppendUint32(b, ^uint32(0))
}
