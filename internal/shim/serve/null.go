package serve

import (
	"errors"
	"os"

	"github.com/hull-dev/hull/internal/linux"
	"golang.org/x/sys/unix"
)

// openNull opens a null device that is nobody else's. crun gives what a container in a user
// namespace has as standard input, output and error to that container's root by fchown(2): were it
// the host's /dev/null, that would change hands. The node is in a tmpfs that is attached nowhere.
func openNull() (*os.File, error) {
	f, err := ownNull()
	if errors.Is(err, unix.EPERM) { // an ordinary user: his runtime can give nothing away
		return os.OpenFile("/dev/null", os.O_RDWR, 0)
	}
	return f, err
}

func ownNull() (*os.File, error) {
	fs, err := linux.OpenFS("tmpfs")
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	dir, err := fs.Mount(0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	if err := unix.Mknodat(dir, "null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return nil, os.NewSyscallError("mknod", err)
	}
	fd, err := linux.OpenBeneath(dir, "null", unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "null"), nil
}
