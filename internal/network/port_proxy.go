package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a proxy. What the kernel can do does not come here.
const (
	maxProxied   = 4096 // connections, or clients, of one port
	dialTimeout  = 10 * time.Second
	udpForgotten = 90 * time.Second // a client that is silent so long is forgotten, as Docker's proxy does
	maxDatagram  = 64 << 10
)

// only6 keeps a socket of an IPv6 address from taking the IPv4 port too.
func only6(network, _ string, c syscall.RawConn) error {
	if !strings.HasSuffix(network, "6") {
		return nil
	}
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}), err)
}

// carrier says from where to where connections are carried.
type carrier struct {
	at, to netip.AddrPort
	keep   bool         // the client's address, where that can be
	near   netip.Prefix // clients there would be answered by the container directly: they cannot keep theirs
}

// source is the address that a client's connection goes on with; invalid for one of the host's own.
// Clients on this host have addresses that no answer would be routed to the socket for.
func (c carrier) source(client, local netip.AddrPort) netip.AddrPort {
	a := client.Addr().Unmap()
	if !c.keep || a.IsLoopback() || a.IsLinkLocalUnicast() || a == local.Addr().Unmap() || c.near.Contains(a) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, client.Port())
}

// dial connects to the container, in the name of source when that is valid.
func (c carrier) dial(ctx context.Context, network string, source netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if !source.IsValid() {
		return d.DialContext(ctx, network, c.to.String())
	}
	d.Control = transparent
	if d.LocalAddr = net.TCPAddrFromAddrPort(source); network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(source)
	}
	conn, err := d.DialContext(ctx, network, c.to.String())
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EADDRINUSE) {
		// The client uses that port for two published ones.
		return c.dial(ctx, network, netip.AddrPortFrom(source.Addr(), 0))
	}
	return conn, err
}

// transparent lets a socket have an address of another machine.
func transparent(network, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		level, option := unix.SOL_IP, unix.IP_TRANSPARENT
		if strings.HasSuffix(network, "6") {
			level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
		}
		err = errors.Join(unix.SetsockoptInt(int(fd), level, option, 1), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}), err)
}

// family is "tcp4" or "tcp6", "udp4" or "udp6".
func (c carrier) family(network string) string {
	if c.at.Addr().Is4() {
		return network + "4"
	}
	return network + "6"
}

// listenTCP carries connections until it is closed. Connections that are open then go on.
func (c carrier) listenTCP(h *Host) (io.Closer, error) {
	lc := net.ListenConfig{Control: only6, KeepAlive: -1}
	l, err := lc.Listen(h.running, c.family("tcp"), c.at.String())
	if err != nil {
		return nil, err
	}
	slots := make(chan struct{}, maxProxied)
	go func() {
		for {
			conn, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // out of descriptors: others must close some first
				time.Sleep(50 * time.Millisecond)
				continue
			}
			select {
			case slots <- struct{}{}:
				go func() {
					defer func() { <-slots }()
					c.carry(h.running, conn.(*net.TCPConn))
				}()
			default:
				conn.Close()
			}
		}
	}()
	return l, nil
}

// carry copies both ways. The end of one way is passed on as such.
func (cr carrier) carry(ctx context.Context, c *net.TCPConn) {
	defer c.Close()
	client, local := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	other, err := cr.dial(ctx, "tcp", cr.source(client, local))
	if err != nil {
		_ = c.SetLinger(0) // refuse it as the container did
		return
	}
	o := other.(*net.TCPConn)
	defer o.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(o, c)
		_ = o.CloseWrite()
		_ = c.CloseRead()
	})
	_, _ = io.Copy(c, o)
	_ = c.CloseWrite()
	_ = o.CloseRead()
	wg.Wait()
}

// udpProxy carries datagrams. Each client has a socket of its own towards the container.
type udpProxy struct {
	carrier
	ctx   context.Context
	front *net.UDPConn

	mu      sync.Mutex
	clients map[netip.AddrPort]*net.UDPConn
}

func (c carrier) listenUDP(h *Host) (io.Closer, error) {
	lc := net.ListenConfig{Control: only6}
	pc, err := lc.ListenPacket(h.running, c.family("udp"), c.at.String())
	if err != nil {
		return nil, err
	}
	p := &udpProxy{carrier: c, ctx: h.running, front: pc.(*net.UDPConn), clients: make(map[netip.AddrPort]*net.UDPConn)}
	go p.serve()
	return p, nil
}

// Close ends the proxy and forgets its clients.
func (p *udpProxy) Close() error {
	err := p.front.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		c.Close()
	}
	return err
}

func (p *udpProxy) serve() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := p.front.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		if back := p.client(from); back != nil {
			_, _ = back.Write(buf[:n])
		}
	}
}

// client is the socket for a client; nil when there are too many.
func (p *udpProxy) client(from netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clients[from]; c != nil {
		return c
	}
	if len(p.clients) >= maxProxied {
		return nil
	}
	conn, err := p.dial(p.ctx, "udp", p.source(from, netip.AddrPort{}))
	if err != nil {
		return nil
	}
	c := conn.(*net.UDPConn)
	p.clients[from] = c
	go p.answers(c, from)
	return c
}

func (p *udpProxy) answers(c *net.UDPConn, to netip.AddrPort) {
	defer func() {
		p.mu.Lock()
		delete(p.clients, to)
		p.mu.Unlock()
		c.Close()
	}()
	buf := make([]byte, maxDatagram)
	for {
		_ = c.SetReadDeadline(time.Now().Add(udpForgotten))
		n, err := c.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) { // nobody listens yet
			continue
		}
		if err != nil {
			return
		}
		if _, err := p.front.WriteToUDPAddrPort(buf[:n], to); err != nil {
			return
		}
	}
}
