package ociruntime

import (
	"fmt"
	"io"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/netlink"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// moveNetDevices moves linux.netDevices from the runtime's network namespace to the container's,
// which is one of those to join, or was made with the process pid. The undo list moves them back. When the container ends the
// kernel does what it does with devices of a namespace that ends, as the specification demands.
func moveNetDevices(devices map[string]specs.LinuxNetDevice, pid int, join []joined, undo *undoList) error {
	if len(devices) == 0 {
		return nil
	}
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the network namespace of the runtime: %w", err)
	}
	undo.fd(own)
	theirs := -1
	for _, n := range join {
		if n.flag == unix.CLONE_NEWNET {
			theirs = n.fd
		}
	}
	if theirs < 0 {
		if theirs, err = unix.Open("/proc/"+itoa(uint64(pid))+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open the network namespace of the container: %w", err)
		}
		undo.fd(theirs)
	}
	host, err := netlink.Open()
	if err != nil {
		return err
	}
	undo.fd(host.FD())
	inside, err := netlink.OpenIn(theirs)
	if err != nil {
		return err
	}
	undo.fd(inside.FD())
	for _, name := range sortedKeys(devices) { // names with %d get the same numbers each time
		d, err := host.Device(name)
		if err != nil {
			return fmt.Errorf("linux.netDevices: %w", err)
		}
		as := devices[name].Name
		if as == "" {
			as = name
		}
		moved, err := netlink.Move(host, inside, d, theirs, as)
		if moved != nil {
			undo.add(func() { moved.Back(own) })
		}
		if err != nil {
			return fmt.Errorf("linux.netDevices: %w", err)
		}
	}
	return nil
}

// orEnd is why the child has ended, when it has, in place of what its end has led to: its plan goes
// on while the runtime works on it. Its namespaces go a moment before it counts as ended.
func orEnd(child *launch.Child, err error) error {
	const moment = 50 // ms
	if n, e := unix.Poll([]unix.PollFd{{Fd: int32(child.PidFD), Events: unix.POLLIN}}, moment); e != nil || n == 0 {
		return err
	}
	if _, why := child.Next(); why != nil && why != io.EOF {
		return why
	}
	return err
}
