package launch

import (
	"slices"
	"sync"
)

// sharedStack is the size of the stack of a child with shared memory, in bytes. What runs there
// is nosplit, so the linker holds it below 800.
const sharedStack = 16 << 10

// sharedMemory is what a child with shared memory uses until execve: it must neither be
// collected nor written to by the parent.
type sharedMemory struct {
	stack [sharedStack]byte
	plan  *Plan
	prog  *program
}

// pinned keeps the memory of children alive whatever becomes of their [Child].
var pinned struct {
	sync.Mutex
	list []*sharedMemory
}

func (m *sharedMemory) pin() {
	pinned.Lock()
	pinned.list = append(pinned.list, m)
	pinned.Unlock()
}

// unpin lets the memory go: the child has ended, or executes another program.
func (m *sharedMemory) unpin() {
	if m == nil {
		return
	}
	pinned.Lock()
	if i := slices.Index(pinned.list, m); i >= 0 {
		pinned.list = slices.Delete(pinned.list, i, i+1)
	}
	pinned.Unlock()
}
