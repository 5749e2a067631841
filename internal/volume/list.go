package volume

import (
	"cmp"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/snapshot"
)

// Filter chooses volumes, with the words of Docker's --filter. The zero value takes all.
type Filter struct {
	Dangling  *bool    // nobody uses it
	Drivers   []string // one must fit
	Names     []string // regular expressions, or a part of the name; one must fit
	Labels    []string // KEY or KEY=VALUE; all must be there
	NotLabels []string // none must be there
}

// List gives volumes in the order of their names.
func (s *Store) List(f Filter) []Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Volume
	for _, v := range s.volumes {
		if f.fits(v) {
			out = append(out, v.Volume)
		}
	}
	slices.SortFunc(out, func(a, b Volume) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (f *Filter) fits(v *volume) bool {
	if f.Dangling != nil && *f.Dangling != (len(v.uses) == 0) {
		return false
	}
	if len(f.Drivers) > 0 && !slices.Contains(f.Drivers, v.Driver) {
		return false
	}
	if len(f.Names) > 0 && !slices.ContainsFunc(f.Names, func(p string) bool { return nameFits(p, v.Name) }) {
		return false
	}
	has := func(label string) bool {
		key, want, valued := strings.Cut(label, "=")
		have, ok := v.Labels[key]
		return ok && (!valued || have == want)
	}
	return !slices.ContainsFunc(f.Labels, func(l string) bool { return !has(l) }) && !slices.ContainsFunc(f.NotLabels, has)
}

func nameFits(pattern, name string) bool {
	if strings.Contains(name, pattern) {
		return true
	}
	re, err := regexp.Compile(pattern)
	return err == nil && re.MatchString(name)
}

// Usage is the size of a volume's files in bytes, and how many users it has. Files are counted, which takes as long as
// there are many; those of another file system (driver options) are not: -1.
func (s *Store) Usage(ctx context.Context, name string) (size int64, users int, err error) {
	v, err := s.find(name)
	if err != nil {
		return 0, 0, err
	}
	users = len(s.Users(name))
	if len(v.Options) > 0 {
		return -1, users, nil
	}
	data, err := v.open()
	if err != nil {
		return 0, 0, err
	}
	defer data.Close()
	size, err = snapshot.TreeSize(ctx, data)
	return size, users, err
}

// open opens a volume's files.
func (v *volume) open() (*os.File, error) {
	fd, err := linux.OpenBeneath(v.dir, dataName, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), v.Mountpoint), nil
}
