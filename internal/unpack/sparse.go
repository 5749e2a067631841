package unpack

import (
	"fmt"
	"strings"
)

// maxSpans bounds a sparse map (CVE-2025-58183: maps without a bound). 16 bytes each.
const maxSpans = 1 << 17

// sparse says whether the records describe a GNU sparse file of formats 0.0, 0.1 or 1.0; other versions
// are plain files, as for archive/tar.
func (p *paxRecords) sparse() bool {
	switch {
	case p.major == "0" && (p.minor == "0" || p.minor == "1"), p.major == "1" && p.minor == "0":
		return true
	case p.major != "" || p.minor != "":
		return false
	}
	return p.sparseMap != "" || len(p.spans00) > 0
}

// paxSparse reads the map of a pax sparse file: from the records, or, in format 1.0, from the
// beginning of the data.
func (t *tarReader) paxSparse(h *header, p *paxRecords) error {
	h.sparse = true
	if p.sparseName != "" {
		h.name = p.sparseName
		if strings.HasSuffix(h.name, "/") {
			return fmt.Errorf("a file whose name ends in a slash: %w", ErrArchive)
		}
	}
	size := p.sparseSize
	if size == "" {
		size = p.realSize
	}
	if size != "" {
		n, err := decimal(size)
		if err != nil {
			return err
		}
		h.size = n
	}
	if p.major == "1" {
		return t.sparse10(h)
	}
	numbers := p.spans00
	if len(numbers) == 0 && p.sparseMap != "" {
		// Bounded by maxExtended; the map is as long as the header at most.
		numbers = strings.Split(p.sparseMap, ",")
	} else if len(numbers) > 0 && p.sparseMap != "" {
		return fmt.Errorf("two sparse maps for one file: %w", ErrArchive)
	}
	count, err := decimal(p.numBlocks)
	if err != nil {
		return err
	}
	if count < 0 || int64(len(numbers)) != 2*count || len(numbers)%2 != 0 {
		return fmt.Errorf("a sparse map of %d numbers where %d pieces are announced: %w", len(numbers), count, ErrArchive)
	}
	for i := 0; i < len(numbers); i += 2 {
		off, err := decimal(numbers[i])
		if err != nil {
			return err
		}
		n, err := decimal(numbers[i+1])
		if err != nil {
			return err
		}
		if err := h.addSpan(off, n); err != nil {
			return err
		}
	}
	return nil
}

func (h *header) addSpan(off, n int64) error {
	if len(h.spans) >= maxSpans {
		return fmt.Errorf("a sparse map of more than %d pieces: %w", maxSpans, ErrLimit)
	}
	h.spans = append(h.spans, span{off, n})
	return nil
}

// sparse10 reads the map of format 1.0: decimal numbers, a line each, at the beginning of the data, padded to a
// block.
func (t *tarReader) sparse10(h *header) error {
	var blk []byte
	var used int64
	// line returns the next number.
	line := func() (int64, error) {
		var x int64
		for digits := 0; ; digits++ {
			if len(blk) == 0 {
				if used += blockSize; used > 2*maxSpans*20 || t.left < blockSize {
					return 0, fmt.Errorf("a sparse map without an end: %w", ErrArchive)
				}
				b, err := t.in.block()
				if err != nil {
					return 0, cut(err)
				}
				t.left -= blockSize
				blk = b
			}
			c := blk[0]
			blk = blk[1:]
			switch {
			case c == '\n' && digits > 0:
				return x, nil
			case c < '0' || c > '9' || x > (1<<62)/10:
				return 0, fmt.Errorf("a malformed sparse map: %w", ErrArchive)
			}
			x = x*10 + int64(c-'0')
		}
	}
	count, err := line()
	if err != nil {
		return err
	}
	if count > maxSpans {
		return fmt.Errorf("a sparse map of %d pieces: %w", count, ErrLimit)
	}
	for range count {
		off, err := line()
		if err != nil {
			return err
		}
		n, err := line()
		if err != nil {
			return err
		}
		if err := h.addSpan(off, n); err != nil {
			return err
		}
	}
	return nil
}

// oldSparse reads the map of GNU's type 'S': four pieces in the header, 21 in each block that
// extends it. Those blocks are not part of the size.
func (t *tarReader) oldSparse(h *header, blk []byte) error {
	if string(blk[257:265]) != "ustar  \x00" {
		return fmt.Errorf("a sparse file that is not in GNU's format: %w", ErrArchive)
	}
	h.sparse = true
	var p numbers
	h.size = p.number(fGNUReal.in(blk))
	for table := blk[386 : 386+4*24+1]; ; {
		for ; len(table) > 1; table = table[24:] {
			if table[0] == 0 {
				break
			}
			off, n := p.number(table[:12]), p.number(table[12:24])
			if p.err != nil {
				return p.err
			}
			if err := h.addSpan(off, n); err != nil {
				return err
			}
		}
		if more := table[len(table)-1]; more == 0 {
			return p.err
		}
		// Bounded by the entries limit of the archive even when the blocks hold nothing.
		if t.entries++; t.entries > t.maxEntry {
			return fmt.Errorf("more than %d headers: %w", t.maxEntry, ErrLimit)
		}
		b, err := t.in.block()
		if err != nil {
			return cut(err)
		}
		table = b[:21*24+1]
	}
}

// checkSpans holds a sparse map to its file: in order, not overlapping, inside, and as much data
// as the archive has.
func checkSpans(h *header, stored int64) error {
	if h.size < 0 {
		return fmt.Errorf("a negative size: %w", ErrArchive)
	}
	var end, sum int64
	for _, s := range h.spans {
		if s.off < end || s.len < 0 || s.off > h.size || s.len > h.size-s.off {
			return fmt.Errorf("a sparse map that is out of order or larger than its file: %w", ErrArchive)
		}
		end = s.off + s.len
		sum += s.len
	}
	if sum != stored {
		return fmt.Errorf("a sparse map of %d bytes for %d bytes of data: %w", sum, stored, ErrArchive)
	}
	h.stored = stored
	return nil
}
