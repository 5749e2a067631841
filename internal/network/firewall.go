package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/network/nft"
	"golang.org/x/sys/unix"
)

var (
	loopback6 = netip.IPv6Loopback()
	zero4     = netip.IPv4Unspecified()
	zero6     = netip.IPv6Unspecified()
)

// entry is an element and the set that it belongs to.
type entry struct {
	set  *nft.Set
	elem nft.Elem
}

// firewall keeps the kernel's tables as they are wanted. Changes of several callers that come at
// the same time go into one transaction.
type firewall struct {
	*tables
	conn  *nft.Conn
	tag   string
	flags uint32
	api   []uint16

	queueMu sync.Mutex
	queue   []*change
	busy    bool

	mu   sync.Mutex                     // orders transactions
	live bool                           // the tables are in the kernel
	want map[*nft.Set]map[string]string // key → data
}

// change is what one caller wants added and removed.
type change struct {
	add, remove []entry
	done        chan error
}

func newFirewall(conn *nft.Conn, cfg Config, tag string) *firewall {
	f := &firewall{tables: newTables(cfg.name()), conn: conn, tag: tag, api: cfg.APIPorts, flags: nft.Owner | nft.Persist, want: make(map[*nft.Set]map[string]string)}
	if cfg.Unowned {
		f.flags = 0
	}
	for _, s := range f.sets() {
		f.want[s] = make(map[string]string)
	}
	for _, p := range cfg.APIPorts {
		f.want[f.tables.api][nft.Join(p)] = ""
	}
	return f
}

func (f *firewall) close() error { return f.conn.Close() }

// apply makes a change, atomically. Removing what is not there is no error.
func (f *firewall) apply(add, remove []entry) error {
	c := &change{add: add, remove: remove, done: make(chan error, 1)}
	f.queueMu.Lock()
	f.queue = append(f.queue, c)
	leader := !f.busy
	f.busy = true
	f.queueMu.Unlock()
	for leader {
		f.queueMu.Lock()
		batch := f.queue
		f.queue = nil
		if len(batch) == 0 {
			f.busy = false
			leader = false
		}
		f.queueMu.Unlock()
		f.commit(batch)
	}
	return <-c.done
}

// commit makes the changes of a batch in one transaction; if that fails, each in its own, so that
// nobody fails for another's reason.
func (f *firewall) commit(batch []*change) {
	if len(batch) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.transact(batch)
	if err == nil || len(batch) == 1 {
		for _, c := range batch {
			c.done <- err
		}
		return
	}
	for _, c := range batch {
		c.done <- f.transact([]*change{c})
	}
}

func (f *firewall) transact(batch []*change) error {
	var tx nft.Tx
	undo := make([]func(), 0, 16)
	add, remove := make(map[*nft.Set][]nft.Elem), make(map[*nft.Set][]nft.Elem)
	// Removals first: an address or a port may go from one container to another in one batch.
	for _, c := range batch {
		for _, e := range c.remove {
			w := f.want[e.set]
			if old, ok := w[e.elem.Key]; ok {
				delete(w, e.elem.Key)
				undo = append(undo, func() { w[e.elem.Key] = old })
				remove[e.set] = append(remove[e.set], nft.Elem{Key: e.elem.Key, Data: old})
			}
		}
	}
	for _, c := range batch {
		for _, e := range c.add {
			w := f.want[e.set]
			old, ok := w[e.elem.Key]
			if ok && old == e.elem.Data {
				continue
			}
			if ok {
				remove[e.set] = append(remove[e.set], nft.Elem{Key: e.elem.Key, Data: old})
			}
			undo = append(undo, func() {
				if ok {
					w[e.elem.Key] = old
				} else {
					delete(w, e.elem.Key)
				}
			})
			w[e.elem.Key] = e.elem.Data
			add[e.set] = append(add[e.set], e.elem)
		}
	}
	if !f.live {
		return nil // Restore writes all that is wanted
	}
	for _, s := range f.sets() {
		tx.DeleteElems(s, remove[s]...)
	}
	for _, s := range f.sets() {
		tx.AddElems(s, add[s]...)
	}
	err := f.conn.Commit(&tx)
	if err != nil && !errors.Is(err, unix.EPERM) {
		// Somebody removed or changed our tables: write them anew, this change included.
		if again := f.rebuild(); again == nil {
			err = nil
		}
	}
	if err != nil {
		for _, u := range slices.Backward(undo) {
			u()
		}
	}
	return err
}

// replace writes both tables anew, in one transaction: there is no moment without them.
func (f *firewall) replace() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rebuild()
}

// rebuild is replace with f.mu held.
func (f *firewall) rebuild() error {
	err := f.write(f.flags)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		// Before Linux 6.9 tables cannot outlive the socket that owns them.
		if f.flags != 0 {
			f.flags = 0
			err = f.write(0)
		}
	}
	if errors.Is(err, unix.EPERM) {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("another hulld owns the nftables table %q of this network namespace; give this one a network instance of its own: %v", f.inet.Name, err))
	}
	f.live = f.live || err == nil
	return err
}

func (f *firewall) write(flags uint32) error {
	tx, err := f.plan(flags, f.conn.Exists)
	if err != nil {
		return err
	}
	return f.conn.Commit(tx)
}

// plan is the transaction that makes both tables as they are wanted.
func (f *firewall) plan(flags uint32, exists func(nft.Table) (bool, error)) (*nft.Tx, error) {
	var tx nft.Tx
	for _, t := range []nft.Table{f.inet, f.bridge} {
		there, err := exists(t)
		if err != nil {
			return nil, err
		}
		if there {
			tx.DeleteTable(t)
		}
		tx.AddTable(t, flags)
	}
	f.rules(&tx, f.tag)
	for _, s := range f.sets() {
		w := f.want[s]
		elems := make([]nft.Elem, 0, len(w))
		for _, k := range slices.Sorted(maps.Keys(w)) {
			elems = append(elems, nft.Elem{Key: k, Data: w[k]})
		}
		tx.AddElems(s, elems...)
	}
	return &tx, nil
}
