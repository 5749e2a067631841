package archive

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/unpack"
)

// Export writes the container's own files as a tar, without what is mounted in them.
func (v *View) Export(ctx context.Context, w io.Writer) error {
	root, err := v.bare()
	if err != nil {
		return fmt.Errorf("take the container's root without its mounts: %w", err)
	}
	defer root.Close()
	_, err = unpack.Write(ctx, w, root, unpack.WriteOptions{
		UIDMap: v.maps(), GIDMap: v.maps(), Unmapped: &unpack.Owner{UID: overflow, GID: overflow}, Plain: true,
	})
	return err
}

// bare is a mount of the root alone. A mount can be cloned only by who is in its namespace, so a
// thread goes there, which runs nothing of the container's, and ends.
func (v *View) bare() (*os.File, error) {
	clone := func() (int, error) {
		return unix.OpenTree(int(v.root.Fd()), "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	}
	fd, err := clone()
	if err != nil && v.ns != nil {
		err = v.ns.Do(func() (err error) { fd, err = clone(); return err })
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), v.root.Name()), nil
}
