// Package dns answers the names of containers, and passes other questions on.
//
// There is one [Server] for a container, on sockets in the container's own network namespace. What
// it knows comes from a [Directory]; what that does not know goes to the Directory's upstream
// servers, as it came, and their answer back, as it came: EDNS, unknown types and DNSSEC pass.
//
// Everything is bounded: questions in flight of a container and of all, the length of a question,
// the time for an answer, connections over TCP. A Server never speaks before it is asked.
package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// Directory is what a container may know.
type Directory interface {
	// Addresses are those of a name, in small letters without the final dot; known is false when the name
	// is none of a container.
	Addresses(name string) (list []netip.Addr, known bool)
	// NameOf is the name of a container's address, "" for an address that is none.
	NameOf(a netip.Addr) string
	// Upstream are the servers for everything else; none when nothing may leave.
	Upstream() []Upstream
}

// Upstream is a server that is asked what the Directory does not know.
type Upstream struct {
	Addr netip.AddrPort
	Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
}

// Limits of one container.
const (
	inFlight    = 128
	connections = 16
	patience    = 4 * time.Second  // for one upstream server, Docker's
	idle        = 30 * time.Second // of a connection over TCP
)

// Everybody bounds the questions in flight of all containers together.
type Everybody chan struct{}

// NewEverybody allows n questions in flight.
func NewEverybody(n int) Everybody { return make(Everybody, n) }

// Server answers one container.
type Server struct {
	dir   Directory
	all   Everybody
	mine  chan struct{}
	conns chan struct{}
	ctx   context.Context
	udp   *net.UDPConn
	tcp   *net.TCPListener
}

// Serve answers on two sockets until they are closed.
func Serve(ctx context.Context, dir Directory, all Everybody, udp *net.UDPConn, tcp *net.TCPListener) {
	s := &Server{dir: dir, all: all, mine: make(chan struct{}, inFlight), conns: make(chan struct{}, connections), ctx: ctx, udp: udp, tcp: tcp}
	go s.datagrams()
	go s.streams()
}

// buffers are for datagrams, so that a server that waits holds none.
var buffers = sync.Pool{New: func() any { b := make([]byte, maxQuery); return &b }}

func (s *Server) datagrams() {
	raw, err := s.udp.SyscallConn()
	if err != nil {
		return
	}
	for {
		var query []byte
		var from unix.Sockaddr
		var got error
		err := raw.Read(func(fd uintptr) bool {
			buf := buffers.Get().(*[]byte)
			defer buffers.Put(buf)
			n, sa, err := unix.Recvfrom(int(fd), *buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			if err == unix.EAGAIN || err == unix.EINTR {
				return false
			}
			if got, from = err, sa; err == nil && n <= maxQuery {
				query = append([]byte(nil), (*buf)[:n]...)
			}
			return true
		})
		if err != nil {
			return // closed
		}
		to, ok := from.(*unix.SockaddrInet4)
		if got != nil || query == nil || !ok {
			continue
		}
		peer := netip.AddrPortFrom(netip.AddrFrom4(to.Addr), uint16(to.Port))
		s.handle(query, false, func(answer []byte) { _, _ = s.udp.WriteToUDPAddrPort(answer, peer) })
	}
}

func (s *Server) streams() {
	for {
		c, err := s.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // out of descriptors
			continue
		}
		select {
		case s.conns <- struct{}{}:
			go func() {
				defer func() { <-s.conns }()
				s.stream(c)
			}()
		default:
			c.Close()
		}
	}
}

// stream answers one connection's questions in turn.
func (s *Server) stream(c net.Conn) {
	defer c.Close()
	for {
		_ = c.SetReadDeadline(time.Now().Add(idle))
		query, err := readStream(c, maxQuery)
		if err != nil {
			return
		}
		done := make(chan []byte, 1)
		s.handle(query, true, func(answer []byte) { done <- answer })
		answer := <-done
		if answer == nil {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func readStream(r io.Reader, limit int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > limit {
		return nil, errors.New("too long")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// handle answers at once what the directory knows, and later what others must be asked. Over TCP
// reply is called once in any case, with nil when no answer is due.
func (s *Server) handle(query []byte, tcp bool, reply func([]byte)) {
	q, code, ok := parse(query)
	limit := 65535
	if !tcp {
		limit = q.udpSize
	}
	switch {
	case !ok:
		if tcp {
			reply(nil)
		}
		return
	case code != dnsmessage.RCodeSuccess:
		reply(q.reply(code, nil, "", limit))
		return
	}
	if answer := s.local(&q, limit); answer != nil {
		reply(answer)
		return
	}
	servers := s.dir.Upstream()
	if len(servers) == 0 {
		reply(q.reply(dnsmessage.RCodeServerFailure, nil, "", limit))
		return
	}
	select {
	case s.mine <- struct{}{}:
	default:
		reply(q.reply(dnsmessage.RCodeRefused, nil, "", limit))
		return
	}
	select {
	case s.all <- struct{}{}:
	default:
		<-s.mine
		reply(q.reply(dnsmessage.RCodeRefused, nil, "", limit))
		return
	}
	go func() {
		defer func() { <-s.mine; <-s.all }()
		answer := forward(s.ctx, servers, &q, query, tcp)
		if answer == nil {
			answer = q.reply(dnsmessage.RCodeServerFailure, nil, "", limit)
		}
		reply(answer)
	}()
}

// local is the answer to a question about containers; nil for other questions. A name of ours has
// no other records, and questions for those do not leave either.
func (s *Server) local(q *question, limit int) []byte {
	if q.q.Class != dnsmessage.ClassINET {
		return nil
	}
	if q.q.Type == dnsmessage.TypePTR {
		if a, ok := reverse(q.name); ok {
			if name := s.dir.NameOf(a); name != "" {
				return q.reply(dnsmessage.RCodeSuccess, nil, name, limit)
			}
		}
		return nil
	}
	list, known := s.dir.Addresses(q.name)
	if !known {
		return nil
	}
	var fit []netip.Addr
	for _, a := range list {
		if a.Is4() && q.q.Type == dnsmessage.TypeA || a.Is6() && q.q.Type == dnsmessage.TypeAAAA {
			fit = append(fit, a)
		}
	}
	return q.reply(dnsmessage.RCodeSuccess, fit, "", limit)
}
