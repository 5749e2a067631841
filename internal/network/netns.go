package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
	"golang.org/x/sys/unix"
)

// netns is a network namespace made ready for a container: its loopback device is up, new devices
// in it have no IPv6 until a network says so, and sockets for names wait in it.
type netns struct {
	file  *os.File
	route *rtnl.Conn // in it
	ipv6  bool       // new devices in it have IPv6
	names *nameSockets
	spare *spare // a pair of devices that no endpoint has yet; taken with plumb held
}

// spare is a pair of devices that was made ahead, which is the dearest part of connecting a
// container: both down, the outer one on no bridge, the inner one called eth0.
type spare struct {
	host  string
	inner int // index
}

func (n *netns) close() {
	if n.route != nil {
		n.route.Close()
	}
	n.names.close()
	n.file.Close()
}

// nameSockets are where the resolver of one container listens, on 127.0.0.11 and ports of the
// kernel's choice. A rule in the namespace turns port 53 of that address into them without
// connection tracking, so that port 53 stays free for a name server in the container itself.
type nameSockets struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

func (s *nameSockets) close() {
	if s == nil {
		return
	}
	s.udp.Close()
	s.tcp.Close()
}

// resolverIP is the address of the resolver in every container, Docker's.
var resolverIP = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// prepare readies a namespace. With names, sockets are opened in it (and its table replaced when
// it has one: after a restart of hulld).
func prepare(file *os.File, names bool) (n *netns, err error) {
	n = &netns{file: file}
	var fds [2]int
	err = rtnl.Inside(int(file.Fd()), func() (err error) {
		if n.route, err = rtnl.Open(); err != nil {
			return err
		}
		var p rtnl.Plan
		p.Up(1, "lo") // the loopback device is the first of each namespace
		if err := n.route.Apply(&p); err != nil {
			return err
		}
		if err := errors.Join(sysctl("ipv6/conf/default/disable_ipv6", "1"), sysctl("ipv6/conf/default/accept_ra", "0"), sysctl("ipv6/conf/default/accept_dad", "0")); err != nil {
			return fmt.Errorf("preparing IPv6 in the network namespace: %w", err)
		}
		if names {
			fds, err = openNameSockets()
		}
		return err
	})
	if err != nil {
		if n.route != nil {
			n.route.Close()
		}
		return nil, err
	}
	if names {
		if n.names, err = adopt(fds); err != nil {
			n.route.Close()
			return nil, err
		}
	}
	return n, nil
}

// openNameSockets opens both sockets in the namespace of the calling thread, with their rules.
func openNameSockets() (fds [2]int, err error) {
	fds = [2]int{-1, -1}
	defer func() {
		if err != nil {
			for _, fd := range fds {
				if fd >= 0 {
					unix.Close(fd)
				}
			}
		}
	}()
	var ports [2]uint16
	for i, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_STREAM} {
		fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return fds, fmt.Errorf("opening a socket for names: %w", err)
		}
		fds[i] = fd
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: resolverIP.As4()}); err != nil {
			return fds, fmt.Errorf("binding a socket for names to 127.0.0.11: %w", err)
		}
		if kind == unix.SOCK_STREAM {
			if err := unix.Listen(fd, 16); err != nil {
				return fds, fmt.Errorf("listening for names: %w", err)
			}
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return fds, err
		}
		ports[i] = uint16(sa.(*unix.SockaddrInet4).Port)
	}
	c, err := nft.Open()
	if err != nil {
		return fds, err
	}
	defer c.Close()
	there, err := c.Exists(namesTable)
	if err != nil {
		return fds, err
	}
	var tx nft.Tx
	if there {
		tx.DeleteTable(namesTable)
	}
	redirect(&tx, ports[0], ports[1])
	return fds, c.Commit(&tx)
}

var namesTable = nft.Table{Family: nft.IP, Name: "hull-names"}

// redirect writes the table that leads 127.0.0.11:53 to the sockets, and their answers back. It
// changes ports in packets, both ways, and keeps no state.
func redirect(tx *nft.Tx, udp, tcp uint16) {
	tx.AddTable(namesTable, 0)
	tx.AddChain(nft.Chain{Table: namesTable, Name: "output", Hook: &nft.Hook{Type: "filter", Num: nft.LocalOut, Priority: prioRaw}})
	for _, r := range []struct {
		proto uint8
		name  string
		port  uint16
	}{{unix.IPPROTO_UDP, "udp", udp}, {unix.IPPROTO_TCP, "tcp", tcp}} {
		is := nft.Is(nft.L4Proto, r.proto, r.name)
		tx.AddRule(namesTable, "output", nft.Is(nft.IP4Dst, resolverIP, resolverIP.String()), is, nft.Is(nft.DPort, uint16(53), "53"), nft.SetPort(nft.DPort, 2, r.proto, r.port))
		tx.AddRule(namesTable, "output", nft.Is(nft.IP4Src, resolverIP, resolverIP.String()), is, nft.Is(nft.SPort, r.port, fmt.Sprint(r.port)), nft.SetPort(nft.SPort, 0, r.proto, 53))
	}
}

// adopt makes Go's sockets of descriptors.
func adopt(fds [2]int) (*nameSockets, error) {
	u, t := os.NewFile(uintptr(fds[0]), "names/udp"), os.NewFile(uintptr(fds[1]), "names/tcp")
	defer u.Close() // the net package works on copies
	defer t.Close()
	pc, err := net.FilePacketConn(u)
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(t)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return &nameSockets{pc.(*net.UDPConn), l.(*net.TCPListener)}, nil
}

// sandbox is a container's network namespace and the endpoints in it, guarded by Host.mu.
type sandbox struct {
	container string
	ns        *netns
	endpoints []*Endpoint
	dns       DNSConfig
	serving   bool // names are answered

	plumb chan struct{} // holds a token: who has it may change devices, addresses and routes in ns
}

func newSandbox(container string, ns *netns) *sandbox {
	b := &sandbox{container: container, ns: ns, plumb: make(chan struct{}, 1)}
	b.plumb <- struct{}{}
	return b
}

func (b *sandbox) closeAll() { b.ns.close() }

// NewNetNS gives a container a network namespace, a prepared one if there is. bridged says that it
// will be attached to a bridge network first: a device waits for it then. The caller closes the
// descriptor; the namespace is given back by [Host.Release].
func (h *Host) NewNetNS(ctx context.Context, container string, bridged bool) (*os.File, error) {
	var ns *netns
	ready := h.ready
	if !bridged {
		ready = nil
	}
	select {
	case ns = <-ready:
		select {
		case h.refill <- struct{}{}:
		default:
		}
	default:
		var err error
		if ns, err = makeNetNS(); err != nil {
			return nil, err
		}
	}
	fd, err := unix.FcntlInt(ns.file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		ns.close()
		return nil, fmt.Errorf("giving out a network namespace: %w", err)
	}
	h.mu.Lock()
	old := h.boxes[container]
	if old == nil {
		h.boxes[container] = newSandbox(container, ns)
	}
	h.mu.Unlock()
	if old != nil {
		ns.close()
		unix.Close(fd)
		return nil, fmt.Errorf("container %.12s has a network namespace already", container)
	}
	return os.NewFile(uintptr(fd), "netns"), nil
}

// makeSpare makes a pair of devices for a namespace that waits.
func (h *Host) makeSpare(n *netns) error {
	var id [6]byte
	rand.Read(id[:])
	name := h.tag + hex.EncodeToString(id[:])[:11]
	err := h.route(func(c *rtnl.Conn) error {
		var p rtnl.Plan
		p.Veth(name, spareName, int(n.file.Fd()), 0, nil)
		return c.Apply(&p)
	})
	if err != nil {
		return err
	}
	l, err := n.route.Link(spareName)
	if err == nil {
		n.spare = &spare{name, l.Index}
	}
	return err
}

// spareName is what most containers call their first device.
const spareName = "eth0"

func makeNetNS() (*netns, error) {
	f, err := rtnl.NewNetNS()
	if err != nil {
		return nil, err
	}
	ns, err := prepare(f, true)
	if err != nil {
		f.Close()
		return nil, err
	}
	return ns, nil
}

// refillPause lets a container start in peace before namespaces are made for the next ones.
const refillPause = 30 * time.Millisecond

// keepReady makes namespaces ahead until the Host is closed.
func (h *Host) keepReady(ctx context.Context) {
	for {
		for len(h.ready) < h.cfg.Prepared && ctx.Err() == nil {
			ns, err := makeNetNS()
			if err != nil {
				h.log.Warn("preparing a network namespace", "error", err)
				break
			}
			if err := h.makeSpare(ns); err != nil {
				h.log.Warn("preparing a pair of devices", "error", err)
			}
			h.ready <- ns // only this goroutine adds, so there is room
		}
		select {
		case <-ctx.Done():
			return
		case <-h.refill:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(refillPause):
		}
	}
}

// box finds a container's sandbox, or makes one for a namespace that the caller has.
func (h *Host) box(container string, netns *os.File) (*sandbox, error) {
	h.mu.Lock()
	b := h.boxes[container]
	h.mu.Unlock()
	if b != nil {
		return b, nil
	}
	if netns == nil {
		return nil, fmt.Errorf("container %.12s has no network namespace", container)
	}
	fd, err := unix.FcntlInt(netns.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keeping the network namespace of container %.12s: %w", container, err)
	}
	f := os.NewFile(uintptr(fd), "netns")
	ns, err := prepare(f, true)
	if err != nil {
		f.Close()
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.boxes[container]; other != nil {
		ns.close()
		return other, nil
	}
	b = newSandbox(container, ns)
	h.boxes[container] = b
	return b, nil
}
