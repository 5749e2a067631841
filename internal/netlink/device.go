package netlink

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is a network device as it was when it was looked at.
type Device struct {
	Name  string
	Index int32
	Up    bool
}

// sizes of struct ifinfomsg and struct ifaddrmsg (rtnetlink(7)).
const (
	ifinfoSize = 16
	ifaddrSize = 8
)

// ifinfo is a struct ifinfomsg: the flags in mask are set to flags.
func ifinfo(index int32, flags, mask uint32) []byte {
	b := make([]byte, ifinfoSize)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], mask)
	return b
}

// Device looks a device up by its name.
func (c *Conn) Device(name string) (Device, error) {
	d := Device{}
	err := c.do(newRequest(unix.RTM_GETLINK, unix.NLM_F_ACK, ifinfo(0, 0, 0)).attr(unix.IFLA_IFNAME, append([]byte(name), 0)), func(p []byte) { d = device(p) })
	if err == nil && d.Index == 0 {
		err = errShort
	}
	return d, failed("find", name, err)
}

// devices are all devices.
func (c *Conn) devices() (list []Device, err error) {
	err = c.do(newRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP, ifinfo(0, 0, 0)), func(p []byte) { list = append(list, device(p)) })
	return list, err
}

func device(p []byte) (d Device) {
	if len(p) < ifinfoSize {
		return d
	}
	d.Index = int32(binary.NativeEndian.Uint32(p[4:]))
	d.Up = binary.NativeEndian.Uint32(p[8:])&unix.IFF_UP != 0
	attributes(p[ifinfoSize:], func(kind uint16, v []byte) {
		if kind == unix.IFLA_IFNAME {
			d.Name = strings.TrimRight(string(v), "\x00")
		}
	})
	return d
}

// SetUp brings a device up, or down.
func (c *Conn) SetUp(d Device, up bool) error {
	flags, what := uint32(0), "take down"
	if up {
		flags, what = unix.IFF_UP, "bring up"
	}
	return failed(what, d.Name, c.do(newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK, ifinfo(d.Index, flags, unix.IFF_UP)), nil))
}

// An address is the payload of a message RTM_NEWADDR, ready to be given to another device.
type address []byte

// keptFlags are what an administrator chose of an address. The others tell its state.
const keptFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// addresses are the permanent addresses of global scope that a device has (config-linux.md,
// Network devices): the others belong to the namespace that the device is in.
func (c *Conn) addresses(d Device) (list []address, err error) {
	header := make([]byte, ifaddrSize)
	binary.NativeEndian.PutUint32(header[4:], uint32(d.Index))
	err = c.do(newRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP, header), func(p []byte) {
		if len(p) < ifaddrSize || p[3] != unix.RT_SCOPE_UNIVERSE || binary.NativeEndian.Uint32(p[4:]) != uint32(d.Index) {
			return
		}
		flags := uint32(p[2])
		a := request(append([]byte(nil), p[:ifaddrSize]...))
		a[2] = 0
		attributes(p[ifaddrSize:], func(kind uint16, v []byte) {
			switch kind {
			case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_ANYCAST, unix.IFA_RT_PRIORITY:
				a = a.attr(kind, v)
			case unix.IFA_FLAGS: // all 32 of them, where the header has 8
				if len(v) == 4 {
					flags = binary.NativeEndian.Uint32(v)
				}
			}
		})
		if flags&unix.IFA_F_PERMANENT != 0 {
			list = append(list, address(a.attr32(unix.IFA_FLAGS, flags&keptFlags)))
		}
	})
	return list, failed("list the addresses of", d.Name, err)
}

func (c *Conn) addAddress(d Device, a address) error {
	r := newRequest(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, a)
	binary.NativeEndian.PutUint32(r[unix.NLMSG_HDRLEN+4:], uint32(d.Index))
	return failed("give its address to", d.Name, c.do(r, nil))
}
