package dns

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds.
const (
	maxQuery   = 4096 // bytes; what asks for more than a name has no use here
	minUDP     = 512  // what every client takes (RFC 1035)
	headerSize = 12
	ttl        = 600 // seconds, as Docker's
)

// question is a query, as far as it matters here.
type question struct {
	header  dnsmessage.Header
	q       dnsmessage.Question
	name    string // in small letters, without the final dot
	raw     []byte // the question section
	udpSize int    // the longest answer that the client takes in a datagram
}

// parse reads a query. ok is false for what no answer is due to; code is not success when the
// answer is an error.
func parse(msg []byte) (q question, code dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.Response {
		return q, 0, false
	}
	q.header, q.udpSize = h, minUDP
	if h.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, true
	}
	q.q, err = p.Question()
	if err != nil || binary.BigEndian.Uint16(msg[4:]) != 1 {
		return q, dnsmessage.RCodeFormatError, true
	}
	if q.raw = questionSection(msg); q.raw == nil {
		return q, dnsmessage.RCodeFormatError, true
	}
	q.name = strings.ToLower(strings.TrimSuffix(q.q.Name.String(), "."))
	if p.SkipAllQuestions() == nil && p.SkipAllAnswers() == nil && p.SkipAllAuthorities() == nil {
		for range 16 {
			r, err := p.AdditionalHeader()
			if err != nil {
				break
			}
			if r.Type == dnsmessage.TypeOPT {
				q.udpSize = max(minUDP, int(r.Class)) // RFC 6891
			}
			if p.SkipAdditional() != nil {
				break
			}
		}
	}
	return q, dnsmessage.RCodeSuccess, true
}

// questionSection is the one question of a message in its wire form; nil when it is broken or
// compressed.
func questionSection(msg []byte) []byte {
	at := headerSize
	for at < len(msg) {
		n := int(msg[at])
		switch {
		case n == 0:
			if at+5 > len(msg) {
				return nil
			}
			return msg[headerSize : at+5]
		case n > 63:
			return nil
		}
		at += 1 + n
	}
	return nil
}

// reply builds an answer with the addresses, or names, that fit the question's type. What is longer
// than limit is left out, and the client told so.
func (q *question) reply(code dnsmessage.RCode, addrs []netip.Addr, ptr string, limit int) []byte {
	out := q.build(code, addrs, ptr, false)
	if len(out) > limit {
		out = q.build(code, nil, "", true)
	}
	return out
}

func (q *question) build(code dnsmessage.RCode, addrs []netip.Addr, ptr string, truncated bool) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.header.ID, Response: true, OpCode: q.header.OpCode, RecursionDesired: q.header.RecursionDesired,
		RecursionAvailable: true, RCode: code, Truncated: truncated})
	b.EnableCompression()
	if q.raw != nil {
		if b.StartQuestions() != nil || b.Question(q.q) != nil {
			return nil
		}
	}
	if b.StartAnswers() != nil {
		return nil
	}
	h := dnsmessage.ResourceHeader{Name: q.q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	for _, i := range rand.Perm(len(addrs)) {
		var err error
		if a := addrs[i]; a.Is4() {
			err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		} else {
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
		if err != nil {
			return nil
		}
	}
	if ptr != "" {
		name, err := dnsmessage.NewName(ptr + ".")
		if err == nil {
			err = b.PTRResource(h, dnsmessage.PTRResource{PTR: name})
		}
		if err != nil {
			return nil
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// reverse reads the address that a name of in-addr.arpa or ip6.arpa stands for.
func reverse(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(s, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
		return a, err == nil && a.Is4()
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(s) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		c := s[2*i]
		v := strings.IndexByte("0123456789abcdef", c)
		if v < 0 || i < 31 && s[2*i+1] != '.' {
			return netip.Addr{}, false
		}
		b[15-i/2] |= byte(v) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b), true
}

// answers says whether a message of a server is the answer to what was asked, under an ID.
func (q *question) answers(msg []byte, id uint16) bool {
	return len(msg) >= headerSize+len(q.raw) && binary.BigEndian.Uint16(msg) == id && msg[2]&0x80 != 0 &&
		bytes.EqualFold(msg[headerSize:headerSize+len(q.raw)], q.raw)
}
