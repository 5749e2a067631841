package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
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
func only6(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}), err)
}

// listenTCP carries connections to `at` on to `to`, until it is closed. Connections that are open
// then go on.
func listenTCP(h *Host, at, to netip.AddrPort) (io.Closer, error) {
	lc := net.ListenConfig{Control: only6, KeepAlive: -1}
	l, err := lc.Listen(h.running, "tcp6", at.String())
	if err != nil {
		return nil, err
	}
	slots := make(chan struct{}, maxProxied)
	go func() {
		for {
			c, err := l.Accept()
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
					carry(h.running, c.(*net.TCPConn), to)
				}()
			default:
				c.Close()
			}
		}
	}()
	return l, nil
}

// carry copies both ways. The end of one way is passed on as such.
func carry(ctx context.Context, c *net.TCPConn, to netip.AddrPort) {
	defer c.Close()
	d := net.Dialer{Timeout: dialTimeout}
	other, err := d.DialContext(ctx, "tcp", to.String())
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
	front *net.UDPConn
	to    netip.AddrPort

	mu      sync.Mutex
	clients map[netip.AddrPort]*net.UDPConn
}

func listenUDP(h *Host, at, to netip.AddrPort) (io.Closer, error) {
	lc := net.ListenConfig{Control: only6}
	pc, err := lc.ListenPacket(h.running, "udp6", at.String())
	if err != nil {
		return nil, err
	}
	p := &udpProxy{front: pc.(*net.UDPConn), to: to, clients: make(map[netip.AddrPort]*net.UDPConn)}
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
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.to))
	if err != nil {
		return nil
	}
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
