package unpack

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// Sizes of the format (POSIX pax, ustar interchange format) and of Linux.
const (
	blockSize    = 512
	maxPath      = unix.PathMax - 1
	maxComponent = 255
	// maxExtended bounds an extended header, as archive/tar's maxSpecialFileSize does.
	maxExtended = 1 << 20
)

// Kinds of entries: the type flags that are left after reading, '0' for all regular files.
const (
	kindFile    = '0'
	kindLink    = '1'
	kindSymlink = '2'
	kindChar    = '3'
	kindBlock   = '4'
	kindDir     = '5'
	kindFifo    = '6'
)

// header is one entry.
type header struct {
	name, link   string // as written
	kind         byte
	mode         uint32 // 07777
	uid, gid     uint32
	size         int64 // of the file, holes included
	stored       int64 // bytes of data that follow in the archive
	mtime, atime unix.Timespec
	major, minor uint32
	xattrs       []xattr
	sparse       bool
	spans        []span // of a sparse file: where its data goes, in order
}

type xattr struct{ name, value string }

// span is a piece of a sparse file that has data.
type span struct{ off, len int64 }

// tarReader reads headers; between two calls of next, the caller may take data from in, at most left bytes.
type tarReader struct {
	in       *input
	left     int64 // of the current entry's data
	pad      int64
	entries  int64 // headers read, of any kind
	maxEntry int64
	h        header
}

// next returns the next entry, io.EOF at the end mark or the end of the stream between two
// entries. The header is valid until the next call.
func (t *tarReader) next() (*header, error) {
	var pax paxRecords
	var longName, longLink string
	var hasPax, hasName, hasLink bool
	for {
		if err := t.in.skip(t.left + t.pad); err != nil {
			return nil, err
		}
		t.left, t.pad = 0, 0
		blk, err := t.in.block()
		if err == nil && isZero(blk) {
			blk, err = t.in.block()
			if err == nil && !isZero(blk) {
				return nil, fmt.Errorf("an empty block in place of a header: %w", ErrArchive)
			}
			if err == nil {
				err = io.EOF
			}
		}
		if err == io.EOF && (hasPax || hasName || hasLink) {
			return nil, fmt.Errorf("the archive ends after an extended header: %w", cut(err))
		}
		if err != nil {
			return nil, err
		}
		if t.entries++; t.entries > t.maxEntry {
			return nil, fmt.Errorf("more than %d entries: %w", t.maxEntry, ErrLimit)
		}
		h := &t.h
		flag, err := h.parse(blk)
		if err != nil {
			return nil, fmt.Errorf("header at byte %d: %w", t.in.off-blockSize, err)
		}
		switch flag {
		case 'x', 'g', 'L', 'K':
			if h.size > maxExtended {
				return nil, fmt.Errorf("an extended header of %d bytes: %w", h.size, ErrLimit)
			}
			t.left, t.pad = h.size, padding(h.size)
			data, err := t.in.read(nil, h.size)
			if err != nil {
				return nil, err
			}
			t.left = 0
			// Readers disagree on what the second of a kind does to the first, and on whether a global
			// header between them takes an extended header from its entry (archive/tar) or not (GNU tar).
			switch {
			case flag == 'g' && (hasPax || hasName || hasLink):
				err = fmt.Errorf("a global header between an extended header and its entry: %w", ErrArchive)
			case flag == 'x' && !hasPax:
				hasPax = true
				err = pax.parse(string(data))
			case flag == 'g':
				err = checkGlobal(string(data))
			case flag == 'L' && !hasName:
				hasName = true
				longName, err = longString(data)
			case flag == 'K' && !hasLink:
				hasLink = true
				longLink, err = longString(data)
			default:
				err = fmt.Errorf("two extended headers of type %q for one entry: %w", flag, ErrArchive)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if hasPax {
			if hasName && pax.path != "" || hasLink && pax.linkpath != "" {
				return nil, fmt.Errorf("a name in a pax header and in a GNU one for one entry: %w", ErrArchive)
			}
			if err := pax.apply(h); err != nil {
				return nil, err
			}
		}
		if longName != "" {
			h.name = longName
		}
		if longLink != "" {
			h.link = longLink
		}
		if err := t.finish(h, flag, blk, &pax); err != nil {
			return nil, fmt.Errorf("%s: %w", quote(h.name), err)
		}
		return h, nil
	}
}

// finish decides the kind and how much data follows, and reads the sparse map.
func (t *tarReader) finish(h *header, flag byte, blk []byte, pax *paxRecords) error {
	slash := strings.HasSuffix(h.name, "/")
	switch flag {
	case 0:
		flag = kindFile
		if slash { // before ustar, a directory
			flag = kindDir
		}
	case '7', 'S': // contiguous; GNU sparse
		h.kind = kindFile
	}
	switch flag {
	case '0', '7', 'S':
		h.kind = kindFile
		if slash {
			// GNU tar makes a directory of it, archive/tar a file.
			return fmt.Errorf("a file whose name ends in a slash: %w", ErrArchive)
		}
	case kindLink:
		h.kind, h.size = flag, 0 // no data follows, whatever the size says: all readers agree
	case kindSymlink, kindChar, kindBlock, kindDir, kindFifo:
		h.kind = flag
		if h.size != 0 {
			// archive/tar takes what follows for a header, GNU tar for data.
			return fmt.Errorf("%d bytes of data for something that is not a file: %w", h.size, ErrArchive)
		}
	default:
		return fmt.Errorf("an entry of the unknown type %q: %w", flag, ErrArchive)
	}
	h.stored = h.size
	t.left, t.pad = h.stored, padding(h.stored)
	var err error
	switch {
	case flag == 'S':
		err = t.oldSparse(h, blk)
	case pax.sparse():
		err = t.paxSparse(h, pax)
	}
	if err != nil {
		return err
	}
	if h.sparse {
		if h.kind != kindFile {
			return fmt.Errorf("a sparse map for something that is not a file: %w", ErrArchive)
		}
		return checkSpans(h, t.left)
	}
	return nil
}

// data returns some of the current entry's data, without a copy; io.EOF after the last byte.
func (t *tarReader) data(max int64) ([]byte, error) {
	if t.left == 0 {
		return nil, io.EOF
	}
	b, err := t.in.next(min(max, t.left))
	if err != nil {
		return nil, cut(err)
	}
	t.left -= int64(len(b))
	return b, nil
}

func padding(n int64) int64 { return -n & (blockSize - 1) }

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Fields of a header block: offset and length.
type field struct{ off, len int }

var (
	fName     = field{0, 100}
	fMode     = field{100, 8}
	fUID      = field{108, 8}
	fGID      = field{116, 8}
	fSize     = field{124, 12}
	fMtime    = field{136, 12}
	fSum      = field{148, 8}
	fLink     = field{157, 100}
	fMajor    = field{329, 8}
	fMinor    = field{337, 8}
	fPrefix   = field{345, 155}
	fStarPre  = field{345, 131} // star
	fGNUAtime = field{345, 12}  // GNU
	fGNUCtime = field{357, 12}
	fGNUReal  = field{483, 12}
)

func (f field) in(b []byte) []byte { return b[f.off : f.off+f.len] }

// parse reads one header block and returns its type flag.
func (h *header) parse(b []byte) (byte, error) {
	if err := checkSum(b); err != nil {
		return 0, err
	}
	var p numbers
	*h = header{xattrs: h.xattrs[:0], spans: h.spans[:0]}
	h.name = cString(fName.in(b))
	h.link = cString(fLink.in(b))
	h.size = p.number(fSize.in(b))
	h.mode = uint32(p.number(fMode.in(b))) & 0o7777
	uid, gid := p.number(fUID.in(b)), p.number(fGID.in(b))
	h.mtime.Sec = p.number(fMtime.in(b))
	var major, minor int64
	var prefix string
	if magic := string(b[257:263]); magic == "ustar\x00" || magic == "ustar " && string(b[263:265]) == " \x00" {
		major, minor = p.number(fMajor.in(b)), p.number(fMinor.in(b))
		switch {
		case magic == "ustar " && p.err == nil:
			// Go before 1.8 wrote a prefix into GNU headers, and old images have such
			// layers: the prefix is where GNU keeps two times, and is one when those are none.
			var times numbers
			for _, f := range []field{fGNUAtime, fGNUCtime} {
				if v := f.in(b); v[0] != 0 {
					times.number(v)
				}
			}
			if s := cString(fPrefix.in(b)); times.err != nil && isASCII(s) {
				prefix = s
			}
		case string(b[508:512]) == "tar\x00":
			prefix = cString(fStarPre.in(b))
		case magic == "ustar\x00":
			prefix = cString(fPrefix.in(b))
		}
	}
	if prefix != "" {
		h.name = prefix + "/" + h.name
	}
	if p.err != nil {
		return 0, p.err
	}
	if h.size < 0 {
		return 0, fmt.Errorf("a negative size: %w", ErrArchive)
	}
	if err := h.setIDs(uid, gid); err != nil {
		return 0, err
	}
	if major < 0 || major >= 1<<12 || minor < 0 || minor >= 1<<20 {
		if b[156] == kindChar || b[156] == kindBlock {
			return 0, fmt.Errorf("a device number %d:%d out of range: %w", major, minor, ErrArchive)
		}
		major, minor = 0, 0
	}
	h.major, h.minor = uint32(major), uint32(minor)
	h.atime = h.mtime
	return b[156], nil
}

// setIDs takes ids from 0 to 2^32-2: 2^32-1 is the system calls' "leave as it is" (R7).
func (h *header) setIDs(uid, gid int64) error {
	const max = 1<<32 - 2
	if uid < 0 || uid > max || gid < 0 || gid > max {
		return fmt.Errorf("%s: owner %d:%d out of range: %w", quote(h.name), uid, gid, ErrArchive)
	}
	h.uid, h.gid = uint32(uid), uint32(gid)
	return nil
}

// checkSum compares the header's sum with the bytes', as unsigned ones or, as some old programs
// did, as signed ones.
func checkSum(b []byte) error {
	var unsigned, signed int64
	for _, c := range b {
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	for _, c := range fSum.in(b) {
		unsigned += ' ' - int64(c)
		signed += ' ' - int64(int8(c))
	}
	var p numbers
	if sum := p.octal(fSum.in(b)); p.err != nil || sum != unsigned && sum != signed {
		return fmt.Errorf("this is no tar header: %w", ErrArchive)
	}
	return nil
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// longString is the content of a GNU long name.
func longString(data []byte) (string, error) {
	s := cString(data)
	if len(s) > maxPath {
		return "", fmt.Errorf("a name of %d bytes: %w", len(s), ErrLimit)
	}
	return s, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
