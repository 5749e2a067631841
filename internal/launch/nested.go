package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Fork adds a nested clone3: the process that executes the plan makes a sibling of itself,
// which goes on with the plan at the next step. The result is 0 there; in the first process it
// is the sibling's number as the first process sees it, and its pidfd is in the first 4 bytes
// of pidfd.
//
//	keel ── clone3 ──► first: setns(user), setns(pid), …
//	  │                  clone3(CLONE_PARENT | CLONE_NEW…) ──► second: goes on, execve
//	  │ ◄── pidfd ────── sends it, exits                         ▲
//	  └── [Child.Succeed] ──────────────────── parent of ────────┘
//
// Some namespaces can only be had this way: a process never enters a pid namespace itself, only
// its children are born there, and a namespace belongs to the user namespace that its maker is
// in. CLONE_PARENT makes the second a child of the plan's parent, who waits for it and gets its
// signals as for any other. The records of the two come in any order, unless the plan makes the
// second wait. See the package comment for why the second one may run the plan.
func (p *Plan) Fork(flags uint64, pidfd []byte) Step {
	_ = pidfd[3]
	b := p.alloc(int(unsafe.Sizeof(cloneArgs{})), 8)
	*(*cloneArgs)(unsafe.Pointer(&b[0])) = cloneArgs{
		flags: flags | unix.CLONE_PARENT | unix.CLONE_PIDFD,
		pidfd: uint64(uintptr(unsafe.Pointer(&pidfd[0]))),
		// exitSignal stays 0: with CLONE_PARENT it is that of the first process, SIGCHLD.
	}
	return p.Call("clone3", unix.SYS_CLONE3, Arg{uintptr(unsafe.Pointer(&b[0])), kClone}, Int(int(unsafe.Sizeof(cloneArgs{}))))
}

// Load32 puts the 32-bit word at mem into a slot: a descriptor out of a control message.
func (p *Plan) Load32(s Slot, mem []byte) {
	_ = mem[3]
	p.pseudo(opLoad32, "load32", Arg{uintptr(unsafe.Pointer(&mem[0])), kMem}).Out(s)
}

// Attr4 is [Plan.Attr] with a user namespace for MOUNT_ATTR_IDMAP.
func (p *Plan) Attr4(set, clear, propagation uint64, userns int) Arg {
	p.FD(userns, "userns")
	a := p.Attr(set, clear, propagation)
	(*unix.MountAttr)(pointer(a.v)).Userns_fd = uint64(userns)
	return a
}

// Succeed makes c stand for the process that the child has made with [Plan.Fork], whose pidfd
// it takes over. The first process is waited for: it has nothing to do but to end.
func (c *Child) Succeed(pidfd int) error {
	pid, err := pidOf(pidfd)
	if err != nil {
		unix.Close(pidfd)
		return err
	}
	for {
		if _, err := unix.Wait4(c.Pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	unix.Close(c.PidFD)
	c.Pid, c.PidFD = pid, pidfd
	return nil
}

// pidOf is the number of a process in the pid namespace of our /proc. It is not the result of
// clone3, which the first process may have seen from another pid namespace.
func pidOf(pidfd int) (int, error) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return 0, fmt.Errorf("find the number of the container process: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(v))
			if err == nil && pid > 0 {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("find the number of the container process: it has ended: %w", unix.ESRCH)
}
