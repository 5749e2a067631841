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
	stack   [sharedStack]byte
	plan    *Plan
	prog    *program
	foreign [][2]uint32
	pid     int // of a child that nobody watches any more, 0 while there is a [Child]
}

// pinned keeps the memory of children alive whatever becomes of their [Child].
var pinned struct {
	sync.Mutex
	list []*sharedMemory
}

// pin keeps the memory, and lets go of that of abandoned children that need it no more.
func (m *sharedMemory) pin() {
	pinned.Lock()
	pinned.list = slices.DeleteFunc(pinned.list, func(m *sharedMemory) bool {
		return m.pid != 0 && !(&Child{Pid: m.pid}).executesPlan()
	})
	pinned.list = append(pinned.list, m)
	pinned.Unlock()
}

// abandon is for a child that still executes its plan when its [Child] is closed: a container
// that waits for start.
func (m *sharedMemory) abandon(pid int) {
	if m == nil {
		return
	}
	pinned.Lock()
	m.pid = pid
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
