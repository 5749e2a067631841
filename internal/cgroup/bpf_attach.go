package cgroup

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of union bpf_attr (linux/bpf.h) that are used here, each padded to 8 bytes.

type bpfLoadAttr struct {
	progType, insnCnt  uint32
	insns, license     uint64
	logLevel, logSize  uint32
	logBuf             uint64
	kernVersion, flags uint32
	name               [16]byte
}

type bpfAttachAttr struct {
	targetFD, progFD, attachType, flags, replaceFD uint32
	_                                              uint32
}

type bpfQueryAttr struct {
	targetFD, attachType, queryFlags, attachFlags uint32
	progIDs                                       uint64
	progCnt                                       uint32
	_                                             uint32
}

type bpfIDAttr struct{ id, nextID, openFlags, _ uint32 }

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.EAGAIN: // the verifier is interrupted by signals
			continue
		}
		return -1, errno
	}
}

// setDevicesV2 attaches the policy to a v2 directory in place of the programs that it had. It
// adds to what the parents forbid (BPF_F_ALLOW_MULTI): every program up the tree must agree.
func setDevicesV2(dir string, p policy) error {
	fail := func(action string, err error) error {
		return &LimitError{Field: "devices", Err: fmt.Errorf("%s for %s: %w", action, dir, err)}
	}
	dirFD, err := open(dir, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return &LimitError{Field: "devices", Err: err}
	}
	defer unix.Close(dirFD)
	old, err := attached(dirFD)
	if err != nil {
		return fail("list the device programs", err)
	}
	if p.allow && len(p.exceptions) == 0 && len(old) == 0 {
		return nil
	}
	prog, err := loadProgram(compile(p))
	if err != nil {
		return fail("load the device program", err)
	}
	defer unix.Close(prog)
	attr := bpfAttachAttr{targetFD: uint32(dirFD), progFD: uint32(prog), attachType: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}
	replace := -1
	if len(old) == 1 { // one step: at no time is there no program, or both
		if replace, err = programByID(old[0]); err != nil {
			return fail("open the old device program", err)
		}
		defer unix.Close(replace)
		attr.flags |= unix.BPF_F_REPLACE
		attr.replaceFD = uint32(replace)
	}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fail("attach the device program", err)
	}
	if replace >= 0 {
		return nil
	}
	for _, id := range old {
		fd, err := programByID(id)
		if err != nil {
			return fail("open an old device program", err)
		}
		del := bpfAttachAttr{targetFD: uint32(dirFD), progFD: uint32(fd), attachType: unix.BPF_CGROUP_DEVICE}
		_, err = bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&del), unsafe.Sizeof(del))
		unix.Close(fd)
		if err != nil {
			return fail("detach an old device program", err)
		}
	}
	return nil
}

// loadProgram returns a descriptor of the verified program. The program has no helper calls,
// so its licence matters to nobody.
func loadProgram(prog []insn) (int, error) {
	license := []byte("Apache-2.0\x00")
	var pin runtime.Pinner // the kernel is told addresses as numbers: nothing may move
	pin.Pin(&prog[0])
	pin.Pin(&license[0])
	defer pin.Unpin()
	attr := bpfLoadAttr{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE,
		insnCnt:  uint32(len(prog)),
		insns:    uint64(uintptr(unsafe.Pointer(&prog[0]))),
		license:  uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	copy(attr.name[:15], "hull_devices")
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		// Once more for the verifier's reason.
		log := make([]byte, 64<<10)
		pin.Pin(&log[0])
		attr.logLevel, attr.logSize, attr.logBuf = 1, uint32(len(log)), uint64(uintptr(unsafe.Pointer(&log[0])))
		if fd, err2 := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err2 == nil {
			unix.Close(fd)
		} else if text := strings.TrimRight(string(log), "\x00\n"); text != "" {
			err = fmt.Errorf("%w: %s", err, text[strings.LastIndexByte(text, '\n')+1:])
		}
	}
	return fd, err
}

// attached returns the ids of the device programs of this very directory.
func attached(dirFD int) ([]uint32, error) {
	ids := make([]uint32, 64) // BPF_CGROUP_MAX_PROGS
	var pin runtime.Pinner
	pin.Pin(&ids[0])
	defer pin.Unpin()
	attr := bpfQueryAttr{
		targetFD:   uint32(dirFD),
		attachType: unix.BPF_CGROUP_DEVICE,
		progIDs:    uint64(uintptr(unsafe.Pointer(&ids[0]))),
		progCnt:    uint32(len(ids)),
	}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, os.NewSyscallError("bpf", err)
	}
	return ids[:attr.progCnt], nil
}

func programByID(id uint32) (int, error) {
	attr := bpfIDAttr{id: id}
	return bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}
