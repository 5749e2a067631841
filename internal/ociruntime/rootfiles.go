package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/userdb"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// openBelow opens a path of a container's root for the host: links stay inside, magic links
// and devices that block are refused.
func openBelow(root int, name string, flags uint64) (int, error) {
	fd, err := linux.Resolve(root, rel(name), &unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: inRoot})
	if err != nil {
		return -1, &os.PathError{Op: "openat2", Path: name, Err: err}
	}
	return fd, nil
}

// withHome adds HOME to an environment that lacks it, from the container's /etc/passwd, as
// runc does. A passwd file that cannot be trusted gives "/" and a warning.
func (r *Runtime) withHome(root int, p *specs.Process) []string {
	if slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		return p.Env
	}
	home, err := userdb.HomeFor(root, p.User.UID)
	if err != nil {
		r.warn("HOME is /: " + err.Error())
	}
	return append(slices.Clone(p.Env), "HOME="+home)
}

// copiedUp makes a detached tmpfs that holds a copy of what it will cover: the "tmpcopyup"
// option. The copy is made by the host, through descriptors below the root.
func copiedUp(root int, m specs.Mount, o mountOptions) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	for _, d := range o.forFS() {
		k, v, has := strings.Cut(d, "=")
		if has {
			err = unix.FsconfigSetString(fs, k, v)
		} else {
			err = unix.FsconfigSetFlag(fs, k)
		}
		if err != nil {
			return -1, fmt.Errorf("tmpfs option %q: %w", d, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create the tmpfs: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount the tmpfs: %w", err)
	}
	src, err := openBelow(root, m.Destination, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		err = copyDir(src, mnt, !hasKey(o.Data, "mode"), 0)
	} else if os.IsNotExist(err) {
		err = nil
	}
	if attrs := o.set | o.RecSet; err == nil && attrs != 0 {
		err = unix.MountSetattr(mnt, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attrs})
	}
	if err != nil {
		unix.Close(mnt)
		return -1, err
	}
	return mnt, nil
}

// copyDir copies the entries of src, which it closes, into dst: directories, regular files
// and links. Other kinds are left out.
func copyDir(src, dst int, mode bool, depth int) error {
	dir := os.NewFile(uintptr(src), "source")
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	if err := unix.Fchownat(dst, "", int(st.Uid), int(st.Gid), unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	if mode {
		if err := unix.Fchmodat(dst, ".", st.Mode&0o7777, 0); err != nil {
			return fmt.Errorf("copy up: %w", err)
		}
	}
	if depth > 256 {
		return fmt.Errorf("copy up: more than %d directories deep", depth)
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	for _, name := range names {
		if err := copyEntry(src, dst, name, depth); err != nil {
			return fmt.Errorf("copy up %s: %w", name, err)
		}
	}
	return nil
}

func copyEntry(src, dst int, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := unix.Mkdirat(dst, name, 0o700); err != nil {
			return err
		}
		from, err := unix.Openat(src, name, flags|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		to, err := unix.Openat(dst, name, flags|unix.O_DIRECTORY, 0)
		if err != nil {
			unix.Close(from)
			return err
		}
		defer unix.Close(to)
		return copyDir(from, to, true, depth+1)
	case unix.S_IFLNK:
		buf := make([]byte, 4096)
		n, err := unix.Readlinkat(src, name, buf)
		if err == nil {
			err = unix.Symlinkat(string(buf[:n]), dst, name)
		}
		if err == nil {
			err = unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
		}
		return err
	case unix.S_IFREG:
		from, err := unix.Openat(src, name, flags, 0)
		if err != nil {
			return err
		}
		in := os.NewFile(uintptr(from), name)
		defer in.Close()
		// Another container may share the directory and have put a device there since.
		if err := unix.Fstat(from, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return errors.New("the file was exchanged while it was copied")
		}
		to, err := unix.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		out := os.NewFile(uintptr(to), name)
		defer out.Close()
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
		if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
		return unix.Fchmod(to, st.Mode&0o7777)
	}
	return nil
}
