package unpack

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// numbers parses the numeric fields of a header; the first error stays.
type numbers struct{ err error }

func (p *numbers) bad(b []byte) int64 {
	if p.err == nil {
		p.err = fmt.Errorf("%q is no number: %w", b, ErrArchive)
	}
	return 0
}

// number is octal, or, with the first bit set, two's complement in base 256.
func (p *numbers) number(b []byte) int64 {
	if b[0]&0x80 == 0 {
		return p.octal(b)
	}
	var inv byte
	if b[0]&0x40 != 0 {
		inv = 0xff
	}
	var x uint64
	for i, c := range b {
		c ^= inv
		if i == 0 {
			c &= 0x7f
		}
		if x>>56 != 0 {
			return p.bad(b)
		}
		x = x<<8 | uint64(c)
	}
	if x>>63 != 0 {
		return p.bad(b)
	}
	return int64(x) ^ -int64(inv>>7)
}

// octal allows spaces and NULs around the digits; an empty field is 0.
func (p *numbers) octal(b []byte) int64 {
	orig := b
	for len(b) > 0 && (b[0] == ' ' || b[0] == 0) {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	var x int64
	for _, c := range b {
		if c < '0' || c > '7' || x>>60 != 0 {
			return p.bad(orig)
		}
		x = x<<3 | int64(c-'0')
	}
	return x
}

// decimal is a number of a pax record: digits, maybe a sign.
func decimal(s string) (int64, error) {
	x, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is no number: %w", quote(s), ErrArchive)
	}
	return x, nil
}

// paxTime parses a time of a pax record: seconds, maybe negative, maybe with a fraction, of
// which nine digits count.
func paxTime(s string) (unix.Timespec, error) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := decimal(whole)
	if err != nil {
		return unix.Timespec{}, err
	}
	nsec, unit := int64(0), int64(100_000_000)
	for i := range len(frac) {
		c := frac[i]
		if c < '0' || c > '9' {
			return unix.Timespec{}, fmt.Errorf("%s is no time: %w", quote(s), ErrArchive)
		}
		nsec += unit * int64(c-'0')
		unit /= 10
	}
	if whole[0] == '-' && nsec != 0 {
		if sec == -1<<63 {
			return unix.Timespec{}, fmt.Errorf("%s is no time: %w", quote(s), ErrArchive)
		}
		sec, nsec = sec-1, 1_000_000_000-nsec
	}
	return unix.Timespec{Sec: sec, Nsec: nsec}, nil
}

// clampTime keeps a time within what ext4 can store (1901 to 2446), so that the
// same archive gives the same tree on each file system.
func clampTime(t unix.Timespec) unix.Timespec {
	const first, last = -1 << 31, 0x37fffffff
	switch {
	case t.Sec < first:
		return unix.Timespec{Sec: first}
	case t.Sec > last:
		return unix.Timespec{Sec: last}
	}
	return t
}
