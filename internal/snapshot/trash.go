package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// trash deletes in the background what was moved into the trash directory.
type trash struct {
	s       *Snapshotter
	mu      sync.Mutex // one at a time deletes
	wake    chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	counter atomic.Uint64
}

func (t *trash) start(s *Snapshotter) {
	t.s = s
	t.counter.Store(uint64(time.Now().UnixNano()))
	t.wake = make(chan struct{}, 1)
	t.done = make(chan struct{})
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(t.done)
		for {
			select {
			case <-t.ctx.Done():
				return
			case <-t.wake:
			}
			if err := t.empty(t.ctx); err != nil && t.ctx.Err() == nil {
				s.log.Warn("deleting removed snapshots", "error", err)
			}
		}
	}()
}

// stop ends the work; what is left is deleted after the next start.
func (t *trash) stop() {
	if t.cancel != nil {
		t.cancel()
		<-t.done
	}
}

func (t *trash) kick() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// name is a new name in the trash.
func (t *trash) name() string { return strconv.FormatUint(t.counter.Add(1), 36) }

// empty deletes everything in the trash, the first error last.
func (t *trash) empty(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := make(map[string]error)
	for {
		// Deep directories are moved to the top while the trash is emptied, so it is read again
		// until nothing is left.
		fd, err := linux.OpenBeneath(t.s.trashDir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		entries, err := linux.ReadDir(fd)
		unix.Close(fd)
		if err != nil {
			return err
		}
		worked := false
		for _, e := range entries {
			if failed[e.Name] != nil {
				continue
			}
			worked = true
			if err := t.delete(ctx, t.s.trashDir, e.Name, 0); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				failed[e.Name] = fmt.Errorf("delete trash/%s: %w", e.Name, err)
			}
			t.s.at("trash.deleted")
		}
		if !worked {
			break
		}
	}
	var errs []error
	for _, err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// maxDepth bounds the directories that are open at once.
const maxDepth = 48

// delete deletes an entry of a directory with all below it. A directory deeper than maxDepth is
// moved to the top of the trash instead: a tree of 65,000 levels costs no more descriptors.
func (t *trash) delete(ctx context.Context, parent int, name string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := unix.Unlinkat(parent, name, 0)
	if err == unix.EPERM || err == unix.EACCES {
		if clearFlags(parent, name) {
			err = unix.Unlinkat(parent, name, 0)
		}
	}
	// A directory is EISDIR on Linux, EPERM by POSIX.
	if err != unix.EISDIR && err != unix.EPERM {
		if err == unix.ENOENT {
			return nil
		}
		return err
	}
	if depth == maxDepth {
		return unix.Renameat2(parent, name, t.s.trashDir, t.name(), unix.RENAME_NOREPLACE)
	}
	if unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) == nil {
		return nil // empty
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	entries, err := linux.ReadDir(fd)
	for _, e := range entries {
		if err != nil {
			break
		}
		err = t.delete(ctx, fd, e.Name, depth+1)
		if err == unix.EPERM && clearFlags(parent, name) { // an immutable directory
			err = t.delete(ctx, fd, e.Name, depth+1)
		}
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}

// clearFlags takes the immutable and append-only flags from a file or directory: a privileged
// container may have set them. Other kinds of files have none and are not opened.
func clearFlags(parent int, name string) bool {
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL
	var st unix.Stat_t
	if unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false
	}
	if f := st.Mode & unix.S_IFMT; f != unix.S_IFREG && f != unix.S_IFDIR {
		return false
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil || flags&(immutable|appendOnly) == 0 {
		return false
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags&^(immutable|appendOnly)) == nil
}
