package ociruntime

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/seccomp"
	"golang.org/x/sys/unix"
)

// filterDir holds compiled seccomp programs, below the state directory. Its name is not a
// container's: '@' is none of an id's characters.
const filterDir = "@seccomp"

// maxFilters bounds the cache; one that is full begins anew. An engine has a handful of profiles.
const maxFilters = 64

// filter is the program of linux.seccomp, nil for none. Compiling Docker's profile takes about
// 0.2 ms, so programs are kept by the text of the section:
//
//	ROOT/@seccomp/HASH    length of the text (4 bytes), the text, the program (seccomp.AppendBinary)
//
// The name is a hash just to find the file: the whole text is compared, so a collision costs
// time, not protection. The cache is a help, never a need: whatever is wrong with it, the
// section is compiled.
func (r *Runtime) filter(c *ocispec.Config) (*seccomp.Program, error) {
	if c.SeccompRaw == nil {
		return nil, nil
	}
	dir := r.openFilters()
	if dir >= 0 {
		defer unix.Close(dir)
	}
	name := filterName(c.SeccompRaw)
	p := loadFilter(dir, name, c.SeccompRaw)
	if p == nil {
		s, err := ocispec.DecodeSeccomp(c.SeccompRaw)
		if err != nil {
			return nil, err
		}
		if p, err = seccomp.Compile(s, seccomp.Options{}); err != nil {
			return nil, err
		}
		for _, w := range p.Warnings { // once for each profile: Docker's has two for every container
			r.warn(w)
		}
		if p == nil || len(p.Filter) == 0 {
			return nil, nil
		}
		storeFilter(dir, name, c.SeccompRaw, p)
	}
	return p, nil
}

// openFilters opens the cache, -1 for none: it must belong to this user alone, since who
// writes there decides what containers may do.
func (r *Runtime) openFilters() int {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	name := filepath.Join(r.Root, filterDir)
	dir, err := unix.Open(name, flags, 0)
	if err == unix.ENOENT && os.MkdirAll(name, 0o700) == nil {
		dir, err = unix.Open(name, flags, 0)
	}
	if err != nil {
		return -1
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		unix.Close(dir)
		return -1
	}
	return dir
}

// filterName is the name of the file for the text of a section.
func filterName(text []byte) string { return fmt.Sprintf("%016x", seccomp.Sum64(text)) }

func loadFilter(dir int, name string, text []byte) *seccomp.Program {
	if dir < 0 {
		return nil
	}
	b, err := ocispec.ReadFile(dir, name)
	if err != nil || len(b) < 4+len(text) || int(binary.LittleEndian.Uint32(b)) != len(text) || !bytes.Equal(b[4:4+len(text)], text) {
		return nil
	}
	p, err := seccomp.ParseBinary(b[4+len(text):])
	if err != nil {
		return nil
	}
	return p
}

// storeFilter writes the file under a name of its own and renames it: readers see it whole.
func storeFilter(dir int, name string, text []byte, p *seccomp.Program) {
	if dir < 0 {
		return
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	b = p.AppendBinary(append(b, text...))
	tmp := name + "." + itoa(uint64(os.Getpid()))
	fd, err := unix.Openat(dir, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return
	}
	n, err := unix.Write(fd, b)
	unix.Close(fd)
	if err != nil || n != len(b) || unix.Renameat(dir, tmp, dir, name) != nil {
		unix.Unlinkat(dir, tmp, 0)
		return
	}
	emptyFilters(dir, name)
}

// emptyFilters removes all but the newest program when there are too many.
func emptyFilters(dir int, keep string) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	d := os.NewFile(uintptr(fd), filterDir)
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil || len(names) <= maxFilters {
		return
	}
	for _, n := range names {
		if n != keep {
			unix.Unlinkat(dir, n, 0)
		}
	}
}
