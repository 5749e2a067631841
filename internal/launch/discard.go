package launch

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Discard gives the memory of the child's plan back to the kernel at once, 150 KiB that a
// program which stays would else have until its next garbage collection, whose own bookkeeping
// takes more. The plan must not be asked for anything afterwards, [Child.Failure] and [Child.Next]
// included. Nothing is done while the child shares the memory.
func (c *Child) Discard() {
	p := c.plan
	if p == nil || c.shared != nil {
		return
	}
	c.plan = nil
	discard(unsafe.Pointer(unsafe.SliceData(p.steps)), uintptr(cap(p.steps))*unsafe.Sizeof(step{}))
	discard(unsafe.Pointer(unsafe.SliceData(p.notes)), uintptr(cap(p.notes))*unsafe.Sizeof(note{}))
	discard(unsafe.Pointer(unsafe.SliceData(p.arena)), uintptr(cap(p.arena)))
	for _, k := range p.keep {
		if b, ok := k.([]byte); ok {
			discard(unsafe.Pointer(unsafe.SliceData(b)), uintptr(cap(b)))
		}
	}
	*p = Plan{}
}

// discard drops the pages that lie wholly in n bytes from start. They read as zeros, nil pointers
// to the garbage collector.
func discard(start unsafe.Pointer, n uintptr) {
	page := uintptr(os.Getpagesize())
	skip := -uintptr(start) & (page - 1)
	if n < skip+page {
		return
	}
	unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(start, skip)), (n-skip)&^(page-1)), unix.MADV_DONTNEED)
}
