package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// RemoveTree deletes the entry name of the directory dir with all below it, however deep, links never
// followed, immutable files too. That it is not there is no error. Nothing else may be at work in it.
func RemoveTree(ctx context.Context, dir *os.File, name string) error {
	if err := removeTree(ctx, int(dir.Fd()), name); err != nil {
		return fmt.Errorf("delete %s/%s: %w", dir.Name(), name, err)
	}
	return nil
}

func removeTree(ctx context.Context, dir int, name string) error {
	top, err := linux.OpenBeneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return (&remover{top: -1}).delete(ctx, dir, name, 0)
	case err != nil:
		return err
	}
	defer unix.Close(top)
	n := 0
	r := &remover{top: top, name: func() string { n++; return ".deep-" + strconv.Itoa(n) }}
	for {
		moved := n
		err := r.delete(ctx, dir, name, 0)
		// A directory that was moved up makes the top one not empty.
		if err == nil || n == moved || !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}

// maxDepth bounds the directories that are open at once.
const maxDepth = 48

// remover deletes trees. A directory that is too deep is moved to top, under a new name.
type remover struct {
	top  int
	name func() string
}

// delete deletes an entry of a directory with all below it. A directory deeper than maxDepth is
// moved to the top instead: a tree of 65,000 levels costs no more descriptors.
func (r *remover) delete(ctx context.Context, parent int, name string, depth int) error {
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
		return unix.Renameat2(parent, name, r.top, r.name(), unix.RENAME_NOREPLACE)
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
		err = r.delete(ctx, fd, e.Name, depth+1)
		if err == unix.EPERM && clearFlags(parent, name) { // an immutable directory
			err = r.delete(ctx, fd, e.Name, depth+1)
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
