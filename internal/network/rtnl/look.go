package rtnl

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

// operUp is the state "up" of RFC 2863 (IF_OPER_UP of uapi/linux/if.h). A new device begins with
// "unknown", and drops what is sent until the kernel has looked at its carrier.
const operUp = 6

// Link is a network device as it was when it was looked at.
type Link struct {
	Index  int
	Name   string
	Kind   string // "veth", "bridge", "macvlan"; "" for hardware
	Alias  string
	MAC    []byte
	MTU    int
	Master int // index of the bridge that it is a port of
	Parent int // index of the device that it is on, or of its peer
	Up     bool
	Ready  bool // it has carrier, and sends
	Stats  Stats
}

// Stats are a device's counters since it was made.
type Stats struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// ErrNoLink is returned by Link for a name that no device has.
var ErrNoLink = errors.New("no such network device")

// Link finds a device by its name.
func (c *Conn) Link(name string) (Link, error) {
	list, err := c.Named(name)
	if err != nil {
		return Link{}, err
	}
	return list[0], nil
}

// Named finds devices by their names, all in one exchange. On Linux 6.8 and newer what the kernel
// still has to do for a device that has come up is done then.
func (c *Conn) Named(names ...string) ([]Link, error) {
	var b nl.Batch
	for _, name := range names {
		b.Begin(unix.RTM_GETLINK, unix.NLM_F_ACK, ifinfo(0, 0, 0)...)
		b.Str(unix.IFLA_IFNAME, name)
		b.End()
	}
	list := make([]Link, 0, len(names))
	err := c.s.Ask(&b, func(h nl.Header, p []byte) {
		if l, ok := parseLink(p); ok && h.Kind == unix.RTM_NEWLINK {
			list = append(list, l)
		}
	})
	var e *nl.Error
	switch {
	case errors.As(err, &e) && e.Errno == unix.ENODEV:
		return nil, fmt.Errorf("%s: %w", names[e.Index], ErrNoLink)
	case err != nil:
		return nil, fmt.Errorf("looking for the network devices %q: %w", names, err)
	case len(list) != len(names):
		return nil, fmt.Errorf("looking for the network devices %q: the kernel told of %d", names, len(list))
	}
	return list, nil
}

// Links are all devices.
func (c *Conn) Links() (list []Link, err error) {
	var b nl.Batch
	b.Begin(unix.RTM_GETLINK, unix.NLM_F_DUMP, ifinfo(0, 0, 0)...)
	b.End()
	err = c.s.Dump(&b, func(h nl.Header, p []byte) {
		if l, ok := parseLink(p); ok && h.Kind == unix.RTM_NEWLINK {
			list = append(list, l)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing network devices: %w", err)
	}
	return list, nil
}

func parseLink(p []byte) (l Link, ok bool) {
	if len(p) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.Index = int(native.Uint32(p[4:]))
	l.Up = native.Uint32(p[8:])&unix.IFF_UP != 0
	nl.Attrs(p[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) bool {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(v)
		case unix.IFLA_IFALIAS:
			l.Alias = unix.ByteSliceToString(v)
		case unix.IFLA_ADDRESS:
			l.MAC = append([]byte(nil), v...)
		case unix.IFLA_OPERSTATE:
			l.Ready = len(v) > 0 && v[0] == operUp
		case unix.IFLA_MTU:
			l.MTU = int(u32(v))
		case unix.IFLA_MASTER:
			l.Master = int(u32(v))
		case unix.IFLA_LINK:
			l.Parent = int(u32(v))
		case unix.IFLA_LINKINFO:
			nl.Attrs(v, func(kind uint16, v []byte) bool {
				if kind == unix.IFLA_INFO_KIND {
					l.Kind = unix.ByteSliceToString(v)
				}
				return true
			})
		case unix.IFLA_STATS64:
			l.Stats = parseStats(v)
		}
		return true
	})
	return l, true
}

// parseStats reads the beginning of a struct rtnl_link_stats64.
func parseStats(v []byte) (s Stats) {
	if len(v) < 64 {
		return s
	}
	n := func(i int) uint64 { return native.Uint64(v[8*i:]) }
	return Stats{RxPackets: n(0), TxPackets: n(1), RxBytes: n(2), TxBytes: n(3), RxErrors: n(4), TxErrors: n(5), RxDropped: n(6), TxDropped: n(7)}
}

func u32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return native.Uint32(v)
}

// Routes are the unicast routes of the main table, of IPv4 and IPv6.
func (c *Conn) Routes() (list []Route, err error) {
	for _, f := range []byte{unix.AF_INET, unix.AF_INET6} {
		var b nl.Batch
		h := make([]byte, unix.SizeofRtMsg)
		h[0] = f
		b.Begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP, h...)
		b.End()
		err := c.s.Dump(&b, func(h nl.Header, p []byte) {
			if r, ok := parseRoute(p); ok && h.Kind == unix.RTM_NEWROUTE {
				list = append(list, r)
			}
		})
		// A kernel without IPv6 answers that it has no such family.
		if err != nil && (f == unix.AF_INET || !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP)) {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
	}
	return list, nil
}

func parseRoute(p []byte) (r Route, ok bool) {
	if len(p) < unix.SizeofRtMsg || p[4] != unix.RT_TABLE_MAIN || p[7] != unix.RTN_UNICAST {
		return r, false
	}
	zero := netip.IPv4Unspecified()
	if p[0] == unix.AF_INET6 {
		zero = netip.IPv6Unspecified()
	}
	bits := int(p[1])
	r.Dst = netip.PrefixFrom(zero, bits)
	nl.Attrs(p[unix.SizeofRtMsg:], func(kind uint16, v []byte) bool {
		switch kind {
		case unix.RTA_DST:
			if a, good := netip.AddrFromSlice(v); good {
				r.Dst = netip.PrefixFrom(a, bits)
			}
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			r.Index = int(u32(v))
		case unix.RTA_PRIORITY:
			r.Metric = u32(v)
		}
		return true
	})
	return r, true
}

// Addresses are the addresses of a device, or of all when index is 0.
func (c *Conn) Addresses(index int) (list []netip.Prefix, err error) {
	var b nl.Batch
	b.Begin(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg)...)
	b.End()
	err = c.s.Dump(&b, func(h nl.Header, p []byte) {
		if h.Kind != unix.RTM_NEWADDR || len(p) < unix.SizeofIfAddrmsg || index != 0 && int(native.Uint32(p[4:])) != index {
			return
		}
		var a netip.Addr
		nl.Attrs(p[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) bool {
			if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && !a.IsValid() {
				a, _ = netip.AddrFromSlice(v)
			}
			return true
		})
		if a.IsValid() {
			list = append(list, netip.PrefixFrom(a, int(p[1])))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	return list, nil
}

// Inside runs f on a thread that has entered the network namespace of a descriptor. What f opens
// there (sockets) stays there. f must not start goroutines that need the namespace.
func Inside(netns int, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("opening the thread's network namespace: %w", err)
			return
		}
		defer unix.Close(home)
		if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("entering the network namespace of the container: %w", err)
			return
		}
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		} // otherwise the goroutine ends locked, and the runtime ends its thread
		result <- err
	}()
	return <-result
}

// NewNetNS makes a network namespace that nothing lives in and returns its descriptor.
func NewNetNS() (*os.File, error) {
	type made struct {
		f   *os.File
		err error
	}
	result := make(chan made, 1)
	go func() {
		// The thread stays in the namespace until it ends with its goroutine, locked, or is brought back.
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			result <- made{nil, fmt.Errorf("opening the thread's network namespace: %w", err)}
			return
		}
		defer unix.Close(home)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- made{nil, fmt.Errorf("making a network namespace: %w", err)}
			return
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		if err != nil {
			result <- made{nil, fmt.Errorf("opening a new network namespace: %w", err)}
			return
		}
		result <- made{os.NewFile(uintptr(fd), "netns"), nil}
	}()
	m := <-result
	return m.f, m.err
}
