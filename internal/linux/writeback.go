package linux

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// behindStep is how much is handed to the disk at a time, in bytes.
const behindStep = 8 << 20

// Behind lets the disk work while a file grows: what was written is sent to it in the background,
// so that the sync at the end has little left to wait for. It promises nothing: that is the sync's.
// The zero value does nothing. The file must stay open until Wait has returned.
type Behind struct {
	FD    int   // -1, or 0: none
	begun int64 // bytes of the file that were sent
	busy  atomic.Bool
	wg    sync.WaitGroup
}

// Wrote says that the file has been written up to end. One goroutine at a time calls it.
func (b *Behind) Wrote(end int64) {
	if b.FD <= 0 || end-b.begun < behindStep || !b.busy.CompareAndSwap(false, true) {
		return
	}
	from := b.begun
	b.begun = end
	b.wg.Go(func() {
		_ = unix.SyncFileRange(b.FD, from, end-from, unix.SYNC_FILE_RANGE_WRITE)
		b.busy.Store(false)
	})
}

// Wait returns when nothing uses the file any more.
func (b *Behind) Wait() { b.wg.Wait() }
