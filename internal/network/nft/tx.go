// Package nft writes nftables over nfnetlink: tables, chains, rules, sets and maps, many in one
// atomic transaction. It knows the expressions that package network needs, not all that there are.
//
// It exists beside github.com/google/nftables because it is on the path of every container start:
// see docs/dev/decisions for the figures.
//
//	var tx nft.Tx
//	t := nft.Table{Family: nft.INet, Name: "hull"}
//	tx.AddTable(t, 0)
//	tx.AddSet(ports)
//	tx.AddChain(nft.Chain{Table: t, Name: "in", Hook: &nft.Hook{…}})
//	tx.AddRule(t, "in", nft.In(ports, nft.L4Proto, nft.DPort), nft.Drop)
//	err := conn.Commit(&tx)
//
// A [Tx] is printable in the syntax of nft(8), one command a line. The kernel takes all of it or
// nothing. A [Conn] may be used by several goroutines.
package nft

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

// Family is the address family of a table.
type Family byte

// Families of tables.
const (
	INet   Family = unix.NFPROTO_INET
	IP     Family = unix.NFPROTO_IPV4
	Bridge Family = unix.NFPROTO_BRIDGE
)

func (f Family) String() string {
	switch f {
	case INet:
		return "inet"
	case IP:
		return "ip"
	case Bridge:
		return "bridge"
	case unix.NFPROTO_IPV6:
		return "ip6"
	}
	return fmt.Sprint("family ", byte(f))
}

// Table names a table.
type Table struct {
	Family Family
	Name   string
}

func (t Table) String() string { return t.Family.String() + " " + t.Name }

// Flags of a table. An owned table can be changed by the socket that made it alone, whatever
// others flush (Linux 5.12); a persistent one stays when that socket is closed (6.9).
const (
	Owner   = 0x2
	Persist = 0x4
)

// Hook says where packets enter a chain.
type Hook struct {
	Type     string // filter, nat
	Num      uint32 // NF_INET_…, NF_BR_…
	Priority int32
}

// Numbers of hooks. Those of bridges are the same.
const (
	PreRouting  = unix.NF_INET_PRE_ROUTING
	LocalIn     = unix.NF_INET_LOCAL_IN
	Forward     = unix.NF_INET_FORWARD
	LocalOut    = unix.NF_INET_LOCAL_OUT
	PostRouting = unix.NF_INET_POST_ROUTING
)

var hookNames = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

// Chain is a list of rules; one without a Hook is only jumped to.
type Chain struct {
	Table Table
	Name  string
	Hook  *Hook
}

// batchBegin and friends frame a transaction (uapi/linux/netfilter/nfnetlink.h).
const (
	batchBegin = unix.NLMSG_MIN_TYPE
	batchEnd   = unix.NLMSG_MIN_TYPE + 1
	subsystem  = unix.NFNL_SUBSYS_NFTABLES << 8
	maxElems   = 400 // elements of a message: a list of them must stay below 64 KiB
)

// Tx is a transaction under construction. Its zero value is ready for use.
type Tx struct {
	b     nl.Batch
	text  []string
	lines []int // the message that a line of text belongs to
	sets  uint32
}

// String is one command a line.
func (t *Tx) String() string { return strings.Join(t.text, "\n") }

// Empty says whether there is nothing to commit.
func (t *Tx) Empty() bool { return len(t.text) == 0 }

func (t *Tx) begin(kind, flags uint16, f Family, format string, args ...any) {
	if t.Empty() {
		t.b.Begin(batchBegin, 0, 0, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
		t.b.End()
	}
	t.lines = append(t.lines, t.b.Messages())
	t.text = append(t.text, fmt.Sprintf(format, args...))
	t.b.Begin(subsystem|kind, flags, byte(f), 0, 0, 0)
}

// AddTable makes a table, or changes the flags of one.
func (t *Tx) AddTable(table Table, flags uint32) {
	t.begin(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, table.Family, "add table %s", table)
	t.b.Str(unix.NFTA_TABLE_NAME, table.Name)
	t.b.BE32(unix.NFTA_TABLE_FLAGS, flags)
	t.b.End()
}

// DeleteTable removes a table and all in it. It must be there.
func (t *Tx) DeleteTable(table Table) {
	t.begin(unix.NFT_MSG_DELTABLE, 0, table.Family, "delete table %s", table)
	t.b.Str(unix.NFTA_TABLE_NAME, table.Name)
	t.b.End()
}

// AddChain makes a chain whose packets are accepted at its end.
func (t *Tx) AddChain(c Chain) {
	hook := ""
	if c.Hook != nil {
		hook = fmt.Sprintf(" { type %s hook %s priority %d; policy accept; }", c.Hook.Type, hookNames[c.Hook.Num], c.Hook.Priority)
	}
	t.begin(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, c.Table.Family, "add chain %s %s%s", c.Table, c.Name, hook)
	t.b.Str(unix.NFTA_CHAIN_TABLE, c.Table.Name)
	t.b.Str(unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != nil {
		t.b.Nest(unix.NFTA_CHAIN_HOOK)
		t.b.BE32(unix.NFTA_HOOK_HOOKNUM, c.Hook.Num)
		t.b.BE32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
		t.b.Up()
		t.b.BE32(unix.NFTA_CHAIN_POLICY, 1) // NF_ACCEPT
		t.b.Str(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	}
	t.b.End()
}

// AddRule appends a rule to a chain.
func (t *Tx) AddRule(table Table, chain string, parts ...Part) {
	words := make([]string, 0, len(parts))
	for _, p := range parts {
		words = append(words, p.text)
	}
	t.begin(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, table.Family, "add rule %s %s %s", table, chain, strings.Join(words, " "))
	t.b.Str(unix.NFTA_RULE_TABLE, table.Name)
	t.b.Str(unix.NFTA_RULE_CHAIN, chain)
	t.b.Nest(unix.NFTA_RULE_EXPRESSIONS)
	for _, p := range parts {
		p.put(&t.b)
	}
	t.b.Up()
	t.b.End()
}

// AddSet makes a set or a map.
func (t *Tx) AddSet(s *Set) {
	kind := "set"
	var flags uint32
	data := ""
	if s.Data != nil {
		kind, flags, data = "map", unix.NFT_SET_MAP, " : "+typeNames(s.Data)
	}
	t.begin(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, s.Table.Family, "add %s %s %s { type %s%s; }", kind, s.Table, s.Name, typeNames(s.Key), data)
	t.sets++
	t.b.Str(unix.NFTA_SET_TABLE, s.Table.Name)
	t.b.Str(unix.NFTA_SET_NAME, s.Name)
	t.b.BE32(unix.NFTA_SET_ID, t.sets)
	t.b.BE32(unix.NFTA_SET_FLAGS, flags)
	t.b.BE32(unix.NFTA_SET_KEY_TYPE, typeID(s.Key))
	t.b.BE32(unix.NFTA_SET_KEY_LEN, uint32(typeLen(s.Key)))
	if len(s.Key) == 1 && s.Key[0] == IfName {
		// For nft(8): names of devices are in the host's byte order. Type 0 of userdata, length, value.
		t.b.Attr(unix.NFTA_SET_USERDATA, []byte{0, 4, 1, 0, 0, 0})
	}
	if s.Data != nil {
		t.b.BE32(unix.NFTA_SET_DATA_TYPE, typeID(s.Data))
		t.b.BE32(unix.NFTA_SET_DATA_LEN, uint32(typeLen(s.Data)))
	}
	t.b.End()
}

// AddElems puts elements into a set. One that is there already with the same data is left alone.
func (t *Tx) AddElems(s *Set, elems ...Elem) { t.elems(unix.NFT_MSG_NEWSETELEM, "add", s, elems) }

// DeleteElems takes elements out of a set. Each must be there.
func (t *Tx) DeleteElems(s *Set, elems ...Elem) { t.elems(unix.NFT_MSG_DELSETELEM, "delete", s, elems) }

func (t *Tx) elems(kind uint16, verb string, s *Set, elems []Elem) {
	for len(elems) > 0 {
		n := min(len(elems), maxElems)
		var text strings.Builder
		for i, e := range elems[:n] {
			if i > 0 {
				text.WriteString(", ")
			}
			text.WriteString(s.format(e))
		}
		var flags uint16
		if verb == "add" {
			flags = unix.NLM_F_CREATE
		}
		t.begin(kind, flags, s.Table.Family, "%s element %s %s { %s }", verb, s.Table, s.Name, text.String())
		t.b.Str(unix.NFTA_SET_ELEM_LIST_TABLE, s.Table.Name)
		t.b.Str(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
		t.b.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for _, e := range elems[:n] {
			t.b.Nest(unix.NFTA_LIST_ELEM)
			t.b.Nest(unix.NFTA_SET_ELEM_KEY)
			t.b.Attr(unix.NFTA_DATA_VALUE, []byte(e.Key))
			t.b.Up()
			if s.Data != nil {
				t.b.Nest(unix.NFTA_SET_ELEM_DATA)
				t.b.Attr(unix.NFTA_DATA_VALUE, []byte(e.Data))
				t.b.Up()
			}
			t.b.Up()
		}
		t.b.Up()
		t.b.End()
		elems = elems[n:]
	}
}

// Conn is a socket to nftables of one network namespace.
type Conn struct {
	mu sync.Mutex
	s  *nl.Socket
}

// Open opens a socket in the network namespace of the calling thread.
func Open() (*Conn, error) {
	s, err := nl.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &Conn{s: s}, nil
}

// Close closes the socket. Tables that it owns and that do not persist go with it.
func (c *Conn) Close() error { return c.s.Close() }

// Port is the socket's netlink address.
func (c *Conn) Port() uint32 { return c.s.Port() }

// plain is the size that fits a socket's queues without more ado.
const plain = 64 << 10

// Commit hands a transaction to the kernel. The error names the first command that failed.
func (c *Conn) Commit(t *Tx) error {
	if t.Empty() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := t.b.Messages() - 1
	t.ack(last)
	t.b.Begin(batchEnd, 0, 0, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	t.b.End()
	if t.b.Len() > plain {
		if err := c.s.Grow(4 * t.b.Len()); err != nil {
			return fmt.Errorf("making room for an nftables transaction of %d bytes: %w", t.b.Len(), err)
		}
	}
	err := c.s.Commit(&t.b, last)
	var e *nl.Error
	if errors.As(err, &e) {
		for i, m := range t.lines {
			if m == e.Index {
				return fmt.Errorf("nftables: %.300s: %w", t.text[i], err)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// ack asks for an acknowledgement of one message.
func (t *Tx) ack(message int) { t.b.Flag(message, unix.NLM_F_ACK) }

// Exists says whether a table is there.
func (c *Conn) Exists(table Table) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b nl.Batch
	b.Begin(subsystem|unix.NFT_MSG_GETTABLE, unix.NLM_F_ACK, byte(table.Family), 0, 0, 0)
	b.Str(unix.NFTA_TABLE_NAME, table.Name)
	b.End()
	err := c.s.Dump(&b, func(nl.Header, []byte) {})
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the nftables table %s: %w", table, err)
	}
	return true, nil
}
