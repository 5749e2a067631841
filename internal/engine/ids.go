package engine

import (
	"sync"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/spec"
)

const (
	// rangeSize is how many ids a container has: what images use, and nobody.
	rangeSize = 65536
	// firstRange and lastRange bound the host's ids that containers have: above what /etc/subuid
	// and systemd-nspawn give out, below 2^31, where other programs' numbers become negative. None
	// of them is ever on a disk: layers and volumes are mounted with the ids that are seen inside.
	firstRange = 0x7000_0000
	lastRange  = 0x7ffd_0000
)

// ranges gives out ranges of ids, one for each container.
type ranges struct {
	mu    sync.Mutex
	taken map[uint32]bool
	hint  uint32
}

func newRanges() *ranges { return &ranges{taken: make(map[uint32]bool), hint: firstRange} }

// take gives a free range. It takes the one after the last given: one that was freed just now may
// still be in use by a process on its way out.
func (r *ranges) take() (spec.IDRange, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const n = (lastRange-firstRange)/rangeSize + 1
	for range n {
		at := r.hint
		if r.hint += rangeSize; r.hint > lastRange {
			r.hint = firstRange
		}
		if !r.taken[at] {
			r.taken[at] = true
			return spec.IDRange{Host: at, Size: rangeSize}, nil
		}
	}
	return spec.IDRange{}, errdefs.ErrResourceExhausted.WithMessage("all ranges of ids for containers are in use: there are too many containers with a user namespace of their own")
}

// claim marks a range of a container that is there.
func (r *ranges) claim(ids spec.IDRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[ids.Host] = true
	if ids.Host >= r.hint && ids.Host < lastRange {
		r.hint = ids.Host + rangeSize
	}
}

func (r *ranges) free(ids spec.IDRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, ids.Host)
}
