package engine

import (
	"context"
	"os"

	"github.com/hull-dev/hull/internal/spec"
)

// ahead is how many user namespaces are ready before somebody wants one.
const ahead = 8

// prepared is a range of ids with a namespace that maps it.
type prepared struct {
	ids spec.IDRange
	ns  *os.File
}

// pool makes user namespaces ahead: making one takes longer than all the rest of a start's
// preparation. A goroutine fills it, and is there while it is not full.
type pool struct {
	e     *Engine
	ready chan prepared
	fill  chan struct{} // one element: somebody fills it
}

func newPool(e *Engine) *pool {
	p := &pool{e, make(chan prepared, ahead), make(chan struct{}, 1)}
	p.refill()
	return p
}

func (p *pool) refill() {
	select {
	case p.fill <- struct{}{}:
	default:
		return
	}
	p.e.background(func() {
		defer func() { <-p.fill }()
		for p.e.running.Err() == nil {
			if len(p.ready) == cap(p.ready) {
				return
			}
			next, err := p.make(p.e.running)
			if err != nil {
				p.e.log.Debug("preparing a user namespace", "error", err)
				return // who wants one gets the error
			}
			select {
			case p.ready <- next:
			default:
				p.put(next)
				return
			}
		}
	})
}

func (p *pool) make(ctx context.Context) (prepared, error) {
	ids, err := p.e.ids.take()
	if err != nil {
		return prepared{}, err
	}
	ns, err := p.e.opts.Users.Open(ctx, ids)
	if err != nil {
		p.e.ids.free(ids)
		return prepared{}, err
	}
	return prepared{ids, ns}, nil
}

// take gives one that is ready, or makes one.
func (p *pool) take(ctx context.Context) (prepared, error) {
	select {
	case got := <-p.ready:
		p.refill()
		return got, nil
	default:
		p.refill()
		return p.make(ctx)
	}
}

// put gives one back.
func (p *pool) put(x prepared) {
	if x.ns != nil {
		x.ns.Close()
	}
	p.e.ids.free(x.ids)
}

// close lets go of those that are ready.
func (p *pool) close() {
	for {
		select {
		case x := <-p.ready:
			p.put(x)
		default:
			return
		}
	}
}
