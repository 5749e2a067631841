package snapshot

import (
	"context"
	"fmt"
	"os"
)

// CopyTree copies the tree src into the empty directory dst: modes, owners, times, extended
// attributes, holes, devices, and hard links among the tree's own files, for src itself too. On a file system with reflinks the copies
// share blocks. scratch is another directory on dst's file system, used meanwhile. After an error dst
// holds part of it.
func CopyTree(ctx context.Context, dst, src, scratch *os.File) error {
	return copyTree(ctx, int(dst.Fd()), int(src.Fd()), int(scratch.Fd()))
}

// TreeSize is the disk space in bytes of the tree in dir, files with several names once. Others may
// change the tree meanwhile.
func TreeSize(ctx context.Context, dir *os.File) (int64, error) {
	u, err := usageOf(ctx, int(dir.Fd()), ".")
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir.Name(), err)
	}
	return u.Size, nil
}
