package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// visitor sees a tree: a directory before what is in it (enter) and after (leave), everything
// else by file. parent is the open directory that name is in, dir the directory itself.
type visitor interface {
	enter(parent, dir int, name string, st *unix.Stat_t) error
	leave(dir int, st *unix.Stat_t) error
	file(parent int, name string, st *unix.Stat_t) error
}

type level struct {
	fd   int // -1: closed, because the walk is far below
	st   unix.Stat_t
	rest []string
}

// maxOpen is how many directories a walk holds open.
const maxOpen = 32

// walkTree walks everything below the open directory root, names sorted, without following links
// and without leaving its file system. Entries that vanish are passed over when the tree is in
// use (live). However deep the tree, at most maxOpen directories are open: those further up are
// reached again by "..", and must be the same.
func walkTree(ctx context.Context, root int, live bool, v visitor) (err error) {
	var stack []*level
	defer func() {
		for _, l := range stack {
			if l.fd >= 0 {
				unix.Close(l.fd)
			}
		}
	}()
	push := func(fd int, st unix.Stat_t) error {
		stack = append(stack, &level{fd: fd, st: st})
		if n := len(stack) - maxOpen; n > 0 {
			unix.Close(stack[n-1].fd)
			stack[n-1].fd = -1
		}
		entries, err := linux.ReadDir(fd)
		if err != nil {
			return err
		}
		names := make([]string, len(entries))
		for i, e := range entries {
			names[i] = e.Name
		}
		slices.SortFunc(names, strings.Compare)
		stack[len(stack)-1].rest = names
		return nil
	}
	top, err := linux.OpenBeneath(root, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(top, &st); err != nil {
		unix.Close(top)
		return err
	}
	if err := push(top, st); err != nil {
		return err
	}
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := stack[len(stack)-1]
		if len(l.rest) == 0 {
			if err := v.leave(l.fd, &l.st); err != nil {
				return err
			}
			if err := reopen(stack); err != nil {
				return err
			}
			unix.Close(l.fd)
			stack = stack[:len(stack)-1]
			continue
		}
		name := l.rest[0]
		l.rest = l.rest[1:]
		err := step(l.fd, name, stack[0].st.Dev, v, push)
		if err != nil && !(live && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR))) {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func step(parent int, name string, dev uint64, v visitor, push func(int, unix.Stat_t) error) error {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return v.file(parent, name, &st)
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err = unix.Fstat(fd, &st); err == nil && st.Dev != dev {
		err = errors.New("another file system is mounted there")
	}
	if err == nil {
		err = v.enter(parent, fd, name, &st)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	return push(fd, st)
}

// reopen opens the directory above the last one again when it was closed.
func reopen(stack []*level) error {
	if len(stack) < 2 || stack[len(stack)-2].fd >= 0 {
		return nil
	}
	up := stack[len(stack)-2]
	fd, err := unix.Openat(stack[len(stack)-1].fd, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != up.st.Dev || st.Ino != up.st.Ino {
		unix.Close(fd)
		return errors.Join(err, errors.New("a directory was moved while the tree was read"))
	}
	up.fd = fd
	return nil
}

// usageVisitor adds up disk blocks and inodes; a file with several names counts once.
type usageVisitor struct {
	usage snapshots.Usage
	seen  map[uint64]struct{}
}

func (u *usageVisitor) add(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if _, ok := u.seen[st.Ino]; ok {
			return
		}
		u.seen[st.Ino] = struct{}{}
	}
	u.usage.Inodes++
	u.usage.Size += st.Blocks * 512
}

func (u *usageVisitor) enter(_, _ int, _ string, _ *unix.Stat_t) error { return nil }
func (u *usageVisitor) leave(_ int, st *unix.Stat_t) error             { u.add(st); return nil }
func (u *usageVisitor) file(_ int, _ string, st *unix.Stat_t) error    { u.add(st); return nil }

// usageOf measures the tree name in dir, which may be in use.
func usageOf(ctx context.Context, dir int, name string) (snapshots.Usage, error) {
	root, err := openPath(dir, name)
	if err != nil {
		return snapshots.Usage{}, err
	}
	defer unix.Close(root)
	u := usageVisitor{seen: make(map[uint64]struct{})}
	err = walkTree(ctx, root, true, &u)
	return u.usage, err
}
