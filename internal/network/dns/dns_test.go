package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// fake is a directory of one name, web, with many addresses.
type fake struct {
	list []netip.Addr
	up   []Upstream
}

func (f fake) Addresses(name string) ([]netip.Addr, bool) { return f.list, name == "web" }
func (f fake) NameOf(a netip.Addr) string {
	if len(f.list) > 0 && a == f.list[0] {
		return "web.n"
	}
	return ""
}
func (f fake) Upstream() []Upstream { return f.up }

func serve(t *testing.T, dir Directory) (udp, tcp string) {
	t.Helper()
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close(); l.Close() })
	Serve(t.Context(), dir, NewEverybody(4), pc, l)
	return pc.LocalAddr().String(), l.Addr().String()
}

func query(name string, kind dnsmessage.Type, edns int) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	if edns > 0 {
		m.Additionals = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."), Type: dnsmessage.TypeOPT, Class: dnsmessage.Class(edns)}, Body: &dnsmessage.OPTResource{}}}
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func exchange(t *testing.T, network, addr string, q []byte) dnsmessage.Message {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	out := q
	if network == "tcp" {
		out = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	answer, err := receive(c, network == "tcp")
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("%x: %v", answer, err)
	}
	if m.ID != 7 || !m.Response {
		t.Errorf("header %+v", m.Header)
	}
	return m
}

func TestLocal(t *testing.T) {
	var list []netip.Addr
	for i := range 60 {
		list = append(list, netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
	}
	list = append(list, netip.MustParseAddr("fd00::1"))
	udp, tcp := serve(t, fake{list: list})
	m := exchange(t, "udp", udp, query("WEB.", dnsmessage.TypeAAAA, 0))
	if len(m.Answers) != 1 || m.Answers[0].Header.TTL != ttl || !m.RecursionAvailable || m.Answers[0].Header.Name.String() != "WEB." {
		t.Errorf("%+v", m)
	}
	if m := exchange(t, "udp", udp, query("web.", dnsmessage.TypeA, 0)); !m.Truncated || len(m.Answers) != 0 {
		t.Errorf("60 addresses in 512 bytes: truncated %v, %d answers", m.Truncated, len(m.Answers))
	}
	if m := exchange(t, "udp", udp, query("web.", dnsmessage.TypeA, 4096)); m.Truncated || len(m.Answers) != 60 {
		t.Errorf("60 addresses in 4096 bytes: truncated %v, %d answers", m.Truncated, len(m.Answers))
	}
	if m := exchange(t, "tcp", tcp, query("web.", dnsmessage.TypeA, 0)); len(m.Answers) != 60 {
		t.Errorf("over TCP: %d answers", len(m.Answers))
	}
	// A name of ours has no other records, and questions for those stay here.
	if m := exchange(t, "udp", udp, query("web.", dnsmessage.TypeMX, 0)); m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) != 0 {
		t.Errorf("MX: %+v", m)
	}
	if m := exchange(t, "udp", udp, query("1.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, 0)); len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.PTRResource).PTR.String() != "web.n." {
		t.Errorf("PTR: %+v", m)
	}
	// Nobody to ask.
	if m := exchange(t, "udp", udp, query("example.org.", dnsmessage.TypeA, 0)); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("without servers: %v", m.RCode)
	}
	// Broken questions.
	q := query("web.", dnsmessage.TypeA, 0)
	q[5] = 2
	if m := exchange(t, "udp", udp, q); m.RCode != dnsmessage.RCodeFormatError {
		t.Errorf("two questions announced: %v", m.RCode)
	}
	q = query("web.", dnsmessage.TypeA, 0)
	q[2] |= 4 << 3
	if m := exchange(t, "udp", udp, q); m.RCode != dnsmessage.RCodeNotImplemented {
		t.Errorf("another operation: %v", m.RCode)
	}
}

// server answers over UDP as f says.
func server(t *testing.T, f func(q []byte) [][]byte) Upstream {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, a := range f(append([]byte(nil), buf[:n]...)) {
				_, _ = pc.WriteTo(a, from)
			}
		}
	}()
	return Upstream{Addr: netip.MustParseAddrPort(pc.LocalAddr().String()), Dial: func(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, a.String())
	}}
}

func coded(q []byte, code byte) []byte {
	q = append([]byte(nil), q...)
	q[2] |= 0x80
	q[3] = q[3]&0xf0 | code
	return q
}

func TestForward(t *testing.T) {
	var asked atomic.Int32
	failing := server(t, func(q []byte) [][]byte { return [][]byte{coded(q, 2)} })
	good := server(t, func(q []byte) [][]byte {
		asked.Add(1)
		wrongID := coded(q, 0)
		wrongID[0] ^= 0xff
		other := coded(query("evil.example.", dnsmessage.TypeA, 0), 0)
		copy(other, q[:2])
		return [][]byte{wrongID, other, q, coded(q, 3)}
	})
	udp, _ := serve(t, fake{up: []Upstream{failing, good}})
	m := exchange(t, "udp", udp, query("example.org.", dnsmessage.TypeA, 1232))
	if m.RCode != dnsmessage.RCodeNameError || len(m.Questions) != 1 || m.Questions[0].Name.String() != "example.org." || len(m.Additionals) != 1 {
		t.Errorf("%+v", m)
	}
	if asked.Load() != 1 {
		t.Errorf("the second server was asked %d times", asked.Load())
	}
	udp, _ = serve(t, fake{up: []Upstream{failing}})
	if m := exchange(t, "udp", udp, query("example.org.", dnsmessage.TypeA, 0)); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("%v", m.RCode)
	}
}

// TestBounds: more questions than may wait are refused at once, and an answer frees their place.
func TestBounds(t *testing.T) {
	release := make(chan struct{})
	stuck := Upstream{Dial: func(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, errors.New("stuck")
	}}
	udp, _ := serve(t, fake{up: []Upstream{stuck}})
	c, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 4 {
		if _, err := c.Write(query("example.org.", dnsmessage.TypeA, 0)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	if m := exchange(t, "udp", udp, query("example.org.", dnsmessage.TypeA, 0)); m.RCode != dnsmessage.RCodeRefused {
		t.Errorf("the fifth question: %v", m.RCode)
	}
	close(release)
	time.Sleep(50 * time.Millisecond)
	if m := exchange(t, "udp", udp, query("example.org.", dnsmessage.TypeA, 0)); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("afterwards: %v", m.RCode)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4",
		"b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa": "4321:0:1:2:3:4:567:89ab",
	} {
		if a, ok := reverse(name); !ok || a.String() != want {
			t.Errorf("%s: %s %v", name, a, ok)
		}
	}
	for _, name := range []string{"", "in-addr.arpa", "3.2.1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa", "x.3.2.1.in-addr.arpa", "b.a.ip6.arpa", "4.3.2.1"} {
		if a, ok := reverse(name); ok {
			t.Errorf("%q: %s", name, a)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(query("web.", dnsmessage.TypeA, 1232), []byte{})
	f.Add(query("1.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, 0), coded(query("web.", dnsmessage.TypeA, 0), 3))
	f.Fuzz(func(t *testing.T, msg, answer []byte) {
		q, code, ok := parse(msg)
		if !ok {
			return
		}
		for _, limit := range []int{minUDP, 65535} {
			out := q.reply(code, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, "web.n", limit)
			var m dnsmessage.Message
			if out == nil {
				continue
			}
			if err := m.Unpack(out); err != nil || len(out) > limit {
				t.Fatalf("%d bytes, limit %d: %v", len(out), limit, err)
			}
			if m.ID != q.header.ID {
				t.Fatal("another ID")
			}
		}
		if code == dnsmessage.RCodeSuccess && q.answers(answer, 1) && len(answer) < headerSize {
			t.Fatal("took a message without a header")
		}
		_, _ = reverse(q.name)
	})
}
