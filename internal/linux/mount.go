package linux

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// FS is a file system that is being set up: fsopen(2), fsconfig(2), fsmount(2).
type FS struct {
	fd     int
	fstype string
}

// OpenFS begins a file system of a type of /proc/filesystems. ENODEV: the kernel has no such type.
func OpenFS(fstype string) (*FS, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	return &FS{fd, fstype}, nil
}

// Close gives the set-up back. Mounts that Mount returned stay.
func (f *FS) Close() {
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
}

// Flag sets an option without value ("ro", "volatile").
func (f *FS) Flag(key string) error {
	return f.failed(key, Retry(func() error { return unix.FsconfigSetFlag(f.fd, key) }))
}

// String sets an option. The kernel takes at most 255 bytes of value.
func (f *FS) String(key, value string) error {
	return f.failed(key+"="+value, Retry(func() error { return unix.FsconfigSetString(f.fd, key, value) }))
}

// FD sets an option whose value is an open file. overlay takes its layers this way since Linux
// 6.13 (EINVAL before).
func (f *FS) FD(key string, fd int) error {
	return f.failed(key, Retry(func() error { return unix.FsconfigSetFd(f.fd, key, fd) }))
}

// Create makes the file system (superblock) of the options so far. Without it Mount has nothing
// to mount.
func (f *FS) Create() error {
	return f.failed("create", Retry(func() error { return unix.FsconfigCreate(f.fd) }))
}

// Mount creates the file system and returns a mount of it, attached nowhere. attr are
// MOUNT_ATTR_* bits.
func (f *FS) Mount(attr int) (int, error) {
	if err := f.Create(); err != nil {
		return -1, err
	}
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Fsmount(f.fd, unix.FSMOUNT_CLOEXEC, attr)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("fsmount %s: %w", f.fstype, err)
	}
	return fd, nil
}

// failed adds what the kernel says of an error (fsopen(2): the messages of the context) to it.
func (f *FS) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var said []string
	buf := make([]byte, 1024)
	for range 16 {
		n, rerr := unix.Read(f.fd, buf)
		if rerr != nil || n <= 0 {
			break
		}
		line := strings.TrimSpace(string(buf[:n]))
		if len(line) > 2 && line[1] == ' ' { // "e overlay: …", "w …", "i …"
			line = line[2:]
		}
		said = append(said, line)
	}
	if len(said) == 0 {
		return fmt.Errorf("fsconfig %s %s: %w", f.fstype, what, err)
	}
	return fmt.Errorf("fsconfig %s %s: %w (%s)", f.fstype, what, err, strings.Join(said, "; "))
}

// CloneTree returns a detached copy of the mount that fd is on, with the directory or file fd as
// its root: a bind mount that is attached nowhere. Mounts below it are not copied.
func CloneTree(fd int) (int, error) {
	var out int
	err := Retry(func() (err error) {
		out, err = unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("open_tree: %w", err)
	}
	return out, nil
}

// Attr are the changes of SetAttr: MOUNT_ATTR_* bits, a propagation type (MS_PRIVATE …, 0: no
// change), and the user namespace whose mapping the mount shows (MOUNT_ATTR_IDMAP), -1 for none.
type Attr struct {
	Set, Clear  uint64
	Propagation uint64
	UserNS      int
}

// SetAttr changes the mount whose root fd is (mount_setattr(2)). A mapping can be set once, on a
// detached mount, of a file system that supports it (EINVAL).
func SetAttr(fd int, a Attr) error {
	attr := unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: a.Propagation}
	if a.UserNS >= 0 {
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(a.UserNS)
	}
	if err := Retry(func() error { return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr) }); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return nil
}

// MoveMount attaches a detached mount on the directory or file target, both by descriptor.
func MoveMount(mount, target int) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	if err := Retry(func() error { return unix.MoveMount(mount, "", target, "", flags) }); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// Detach unmounts what is mounted on name in the directory dir, lazily: those who use it keep it.
// EINVAL: nothing is mounted there.
func Detach(dir int, name string) error {
	// umount2(2) has no descriptor of its own: the directory's is put into the path, and the
	// name is one component, which UMOUNT_NOFOLLOW keeps from being a link.
	if strings.ContainsRune(name, '/') {
		return fmt.Errorf("umount %q: the name has a slash: %w", name, unix.EINVAL)
	}
	path := FDPath(dir) + "/" + name
	if err := Retry(func() error { return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }); err != nil {
		return fmt.Errorf("umount %s: %w", name, err)
	}
	return nil
}
