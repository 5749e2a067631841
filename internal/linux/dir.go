package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Lgetxattr, Lsetxattr and Llistxattr reach the extended attributes of name in the directory
// dir, of the link itself when it is one. The calls that take a descriptor refuse O_PATH and the
// *at forms came with Linux 6.13, so the directory's descriptor is put into the path.
func Lgetxattr(dir int, name, attr string, buf []byte) (int, error) {
	return unix.Lgetxattr(FDPath(dir)+"/"+name, attr, buf)
}

// Lsetxattr: see Lgetxattr.
func Lsetxattr(dir int, name, attr string, value []byte) error {
	return unix.Lsetxattr(FDPath(dir)+"/"+name, attr, value, 0)
}

// Llistxattr: see Lgetxattr.
func Llistxattr(dir int, name string, buf []byte) (int, error) {
	return unix.Llistxattr(FDPath(dir)+"/"+name, buf)
}

// Reflink makes the empty file dst share the blocks of src (FICLONE): EOPNOTSUPP, EXDEV or
// EINVAL where the file system cannot.
func Reflink(dst, src int) error {
	return Retry(func() error { return unix.IoctlFileClone(dst, src) })
}

// ReadDir reads all entries of an open directory, without "." and "..", in the directory's order.
// Names and types are what getdents64(2) says; a type of DT_UNKNOWN is left to the caller.
func ReadDir(fd int) ([]DirEntry, error) {
	var out []DirEntry
	buf := make([]byte, 32<<10)
	for {
		var n int
		err := Retry(func() (err error) { n, err = unix.Getdents(fd, buf); return err })
		if err != nil {
			return nil, fmt.Errorf("getdents64: %w", err)
		}
		if n == 0 {
			return out, nil
		}
		for p := buf[:n]; len(p) > 0; {
			// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
			reclen := int(binary.NativeEndian.Uint16(p[16:]))
			name := p[19:reclen]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			if s := string(name); s != "." && s != ".." {
				out = append(out, DirEntry{Name: s, Type: p[18]})
			}
			p = p[reclen:]
		}
	}
}

// DirEntry is an entry of a directory: one component, and a DT_* type.
type DirEntry struct {
	Name string
	Type uint8
}
