package image

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/reference"
)

// Filter chooses images, with the words of Docker's --filter. The zero value takes all.
type Filter struct {
	Dangling   *bool    // without a tag
	Labels     []string // KEY or KEY=VALUE; all must be there
	NotLabels  []string
	References []string  // patterns as of path.Match on names as shown; one must fit
	Before     string    // images older than this one
	Since      string    // images newer than this one
	Until      time.Time // images made before this
}

// Compile makes a predicate of a filter, which may name images among all.
func (f Filter) Compile(all []*Image) (func(*Image) bool, error) {
	for _, p := range f.References {
		if _, err := path.Match(p, ""); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter reference=" + shorten(p))
		}
	}
	var before, since time.Time
	for _, b := range []struct {
		name string
		at   *time.Time
	}{{f.Before, &before}, {f.Since, &since}} {
		if b.name == "" {
			continue
		}
		img, _, err := among(all, b.name)
		if err != nil {
			return nil, err
		}
		*b.at = img.Created()
	}
	return func(i *Image) bool {
		switch {
		case f.Dangling != nil && *f.Dangling != (len(i.Tags) == 0):
			return false
		case f.Before != "" && !i.Created().Before(before):
			return false
		case f.Since != "" && !i.Created().After(since):
			return false
		case !f.Until.IsZero() && !i.Created().Before(f.Until):
			return false
		case slices.ContainsFunc(f.Labels, func(l string) bool { return !i.hasLabel(l) }):
			return false
		case slices.ContainsFunc(f.NotLabels, i.hasLabel):
			return false
		case len(f.References) > 0 && !slices.ContainsFunc(slices.Concat(i.Tags, i.Digests), f.Names):
			return false
		}
		return true
	}, nil
}

// Names says whether a name fits the filter's references; all do if it has none.
func (f Filter) Names(ref reference.Reference) bool {
	if len(f.References) == 0 {
		return true
	}
	return slices.ContainsFunc(f.References, func(p string) bool {
		for _, name := range []string{ref.Familiar(), ref.Repository.Familiar(), ref.String(), ref.Repository.String()} {
			if ok, _ := path.Match(p, name); ok {
				return true
			}
		}
		return false
	})
}

func (i *Image) hasLabel(want string) bool {
	key, value, exact := strings.Cut(want, "=")
	have, ok := i.Config.Config.Labels[key]
	return ok && (!exact || have == value)
}

// ParseTime reads a time as Docker's filters take it: a Go duration before now, RFC 3339, a
// date, or seconds since 1970.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to parse value as time or duration: %q", shorten(s)))
	}
	nsec, err := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
	if err != nil {
		return time.Time{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to parse value as time or duration: %q", shorten(s)))
	}
	return time.Unix(sec, int64(nsec)), nil
}
