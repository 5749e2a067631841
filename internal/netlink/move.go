package netlink

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Moved is a device that has changed its namespace; [Moved.Back] undoes it.
type Moved struct {
	Device           // as it is now
	from   *Conn     // where it was
	to     *Conn     // where it is
	was    Device    // as it was
	addrs  []address // that it was given again
}

// Move moves a device from one namespace to another and renames it, in one request, so that nobody
// sees either name in the wrong namespace. name may have one %d, for which
// the kernel puts the lowest number that is free there; without, a device of that name there is
// an error (EEXIST). Permanent addresses of global scope are kept, and the device is up in the
// end (config-linux.md, Network devices).
//
// netns is a descriptor of the namespace of to. Move does not take the device back when only a
// later part of it fails: it returns what it has done together with the error.
func Move(from, to *Conn, d Device, netns int, name string) (*Moved, error) {
	// IPv6 addresses go when a device is taken down, so they are read first.
	addrs, err := from.addresses(d)
	if err != nil {
		return nil, err
	}
	var before []Device
	if strings.Contains(name, "%d") {
		if before, err = to.devices(); err != nil {
			return nil, failed("move", d.Name, err)
		}
	}
	if err := from.SetUp(d, false); err != nil {
		return nil, err
	}
	r := newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK, ifinfo(d.Index, 0, 0))
	r = r.attr(unix.IFLA_IFNAME, append([]byte(name), 0)).attr32(unix.IFLA_NET_NS_FD, uint32(netns))
	m := &Moved{from: from, to: to, was: d, addrs: addrs}
	if err := failed("move", d.Name, from.do(r, nil)); err != nil {
		// The kernel moves the device first and renames it then: when the name is taken it is
		// there, under its old one.
		if now, e := to.Device(d.Name); e == nil && !from.has(d) {
			m.Device = now
			return m, err
		}
		if d.Up {
			err = errors.Join(err, from.SetUp(d, true), from.addAll(d, addrs))
		}
		return nil, err
	}
	if m.Device, err = to.newcomer(before, name); err != nil {
		return m, failed("find the moved", name, err)
	}
	if err := to.addAll(m.Device, addrs); err != nil {
		return m, err
	}
	if err := to.SetUp(m.Device, true); err != nil {
		return m, err
	}
	m.Up = true
	return m, nil
}

func (c *Conn) has(d Device) bool {
	now, err := c.Device(d.Name)
	return err == nil && now.Index == d.Index
}

func (c *Conn) addAll(d Device, addrs []address) error {
	for _, a := range addrs {
		if err := c.addAddress(d, a); err != nil {
			return err
		}
	}
	return nil
}

// newcomer finds a device that was not there before: by its name, or, when that was a pattern,
// among those whose name fits.
func (c *Conn) newcomer(before []Device, name string) (Device, error) {
	prefix, suffix, pattern := strings.Cut(name, "%d")
	if !pattern {
		return c.Device(name)
	}
	now, err := c.devices()
	if err != nil {
		return Device{}, err
	}
	for _, d := range now {
		if strings.HasPrefix(d.Name, prefix) && strings.HasSuffix(d.Name, suffix) && !slices.ContainsFunc(before, func(b Device) bool { return b.Name == d.Name }) {
			return d, nil
		}
	}
	return Device{}, unix.ENODEV
}

// Back moves the device to where it came from, under the name, with the addresses and in the
// state that it had. netns is a descriptor of that namespace.
func (m *Moved) Back(netns int) error {
	if m.Index == 0 {
		return failed("move back", m.was.Name, unix.ENODEV)
	}
	if err := m.to.SetUp(m.Device, false); err != nil {
		return err
	}
	r := newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK, ifinfo(m.Index, 0, 0))
	r = r.attr(unix.IFLA_IFNAME, append([]byte(m.was.Name), 0)).attr32(unix.IFLA_NET_NS_FD, uint32(netns))
	if err := m.to.do(r, nil); err != nil {
		return failed("move back", m.was.Name, err)
	}
	d, err := m.from.Device(m.was.Name)
	if err != nil {
		return err
	}
	if err := m.from.addAll(d, m.addrs); err != nil || !m.was.Up {
		return err
	}
	return m.from.SetUp(d, true)
}
