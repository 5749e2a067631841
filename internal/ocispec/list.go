package ocispec

import (
	"errors"
	"strconv"
	"strings"
)

// MaxListID bounds the numbers of CPUs and memory nodes in a list: the width of the kernel's own masks (CPU_SETSIZE,
// MAX_NUMNODES). A list like 0-4294967295 costs nothing (CVE-2018-20699).
const MaxListID = 1024

// ParseList reads a list of CPUs or memory nodes, as "0-3,7", into a mask: bit i of word i/64. Blanks around elements
// and empty elements are allowed, as in runc; an empty list gives a mask without bits.
func ParseList(s string) (mask [MaxListID / 64]uint64, err error) {
	for e := range strings.SplitSeq(s, ",") {
		e = strings.TrimSpace(e)
		if e == "" {
			continue
		}
		from, to, isRange := strings.Cut(e, "-")
		if !isRange {
			to = from
		}
		a, err := listNumber(from)
		if err != nil {
			return mask, err
		}
		b, err := listNumber(to)
		if err != nil {
			return mask, err
		}
		if a > b {
			return mask, errors.New(strconv.Quote(shorten(e)) + " ends before it begins")
		}
		for i := a; i <= b; i++ {
			mask[i/64] |= 1 << (i % 64)
		}
	}
	return mask, nil
}

func listNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errors.New(strconv.Quote(shorten(s)) + " is not a number")
	}
	if n >= MaxListID {
		return 0, errors.New(s + " is greater than " + strconv.Itoa(MaxListID-1))
	}
	return n, nil
}
