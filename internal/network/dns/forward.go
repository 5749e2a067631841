package dns

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// forward asks the servers in turn until one has an answer that is not its own failure.
func forward(ctx context.Context, servers []Upstream, q *question, query []byte, tcp bool) []byte {
	for _, u := range servers {
		answer := ask(ctx, u, q, query, tcp)
		if answer == nil {
			continue
		}
		if code := dnsmessage.RCode(answer[3] & 0xf); code == dnsmessage.RCodeServerFailure || code == dnsmessage.RCodeRefused {
			continue
		}
		return answer
	}
	return nil
}

// ask asks one server, with an ID and from a port that nobody can guess, and takes only what answers
// that question.
func ask(ctx context.Context, u Upstream, q *question, query []byte, tcp bool) []byte {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	c, err := u.Dial(ctx, network, u.Addr)
	if err != nil {
		return nil
	}
	defer c.Close()
	until, _ := ctx.Deadline()
	_ = c.SetDeadline(until)
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	id := uint16(rand.Uint32())
	out := make([]byte, 0, 2+len(query))
	if tcp {
		out = binary.BigEndian.AppendUint16(out, uint16(len(query)))
	}
	out = append(out, query...)
	binary.BigEndian.PutUint16(out[len(out)-len(query):], id)
	if _, err := c.Write(out); err != nil {
		return nil
	}
	for {
		answer, err := receive(c, tcp)
		if err != nil {
			return nil
		}
		if q.answers(answer, id) {
			binary.BigEndian.PutUint16(answer, q.header.ID)
			return answer
		}
		if tcp {
			return nil
		}
	}
}

func receive(c net.Conn, tcp bool) ([]byte, error) {
	if tcp {
		return readStream(c, 65535)
	}
	b := make([]byte, 65535)
	n, err := c.Read(b)
	return b[:n:n], err
}
