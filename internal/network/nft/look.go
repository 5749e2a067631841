package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

// BaseChain is a chain of any table that packets enter from a hook.
type BaseChain struct {
	Table Table
	Name  string
	Type  string
	Hook  uint32
	Drops bool // what no rule accepts
}

func (c BaseChain) String() string { return fmt.Sprintf("chain %s %s", c.Table, c.Name) }

// BaseChains are the chains with hooks, of all tables of the network namespace.
func (c *Conn) BaseChains() (list []BaseChain, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b nl.Batch
	b.Begin(subsystem|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, 0, 0, 0)
	b.End()
	err = c.s.Dump(&b, func(_ nl.Header, p []byte) {
		if ch, ok := parseChain(p); ok {
			list = append(list, ch)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing the chains of nftables: %w", err)
	}
	return list, nil
}

func parseChain(p []byte) (c BaseChain, base bool) {
	if len(p) < 4 {
		return c, false
	}
	c.Table.Family = Family(p[0])
	number := func(v []byte) uint32 {
		if len(v) < 4 {
			return 0
		}
		return binary.BigEndian.Uint32(v)
	}
	nl.Attrs(p[4:], func(kind uint16, v []byte) bool {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			c.Table.Name = unix.ByteSliceToString(v)
		case unix.NFTA_CHAIN_NAME:
			c.Name = unix.ByteSliceToString(v)
		case unix.NFTA_CHAIN_TYPE:
			c.Type = unix.ByteSliceToString(v)
		case unix.NFTA_CHAIN_POLICY:
			c.Drops = number(v) == 0 // NF_DROP
		case unix.NFTA_CHAIN_HOOK:
			base = true
			nl.Attrs(v, func(kind uint16, v []byte) bool {
				if kind == unix.NFTA_HOOK_HOOKNUM {
					c.Hook = number(v)
				}
				return true
			})
		}
		return true
	})
	return c, base
}
