package unpack

import (
	"fmt"
	"strings"
)

// xattrPrefix begins the pax keys of extended attributes (star's, and everybody's since).
const xattrPrefix = "SCHILY.xattr."

// paxRecords are the records of one extended header that change the entry after it. An empty
// value means "not given", as an empty record does.
type paxRecords struct {
	path, linkpath, size, uid, gid, mtime, atime string
	xattrs                                       []xattr
	// GNU sparse files, formats 0.0, 0.1 and 1.0.
	major, minor, sparseName, sparseSize, realSize, numBlocks, sparseMap string
	spans00                                                              []string // offset, length, offset, … of format 0.0
}

// parse reads the records of an extended header: "LENGTH KEY=VALUE\n" each. The last of two
// with one key counts, as for every reader.
func (p *paxRecords) parse(s string) error {
	for s != "" {
		key, value, rest, err := paxRecord(s)
		if err != nil {
			return err
		}
		s = rest
		switch key {
		case "path":
			p.path = value
		case "linkpath":
			p.linkpath = value
		case "size":
			p.size = value
		case "uid":
			p.uid = value
		case "gid":
			p.gid = value
		case "mtime":
			p.mtime = value
		case "atime":
			p.atime = value
		case "GNU.sparse.major":
			p.major = value
		case "GNU.sparse.minor":
			p.minor = value
		case "GNU.sparse.name":
			p.sparseName = value
		case "GNU.sparse.size":
			p.sparseSize = value
		case "GNU.sparse.realsize":
			p.realSize = value
		case "GNU.sparse.numblocks":
			p.numBlocks = value
		case "GNU.sparse.map":
			p.sparseMap = value
		case "GNU.sparse.offset", "GNU.sparse.numbytes":
			if (len(p.spans00)%2 == 0) != (key == "GNU.sparse.offset") {
				return fmt.Errorf("sparse records out of order: %w", ErrArchive)
			}
			p.spans00 = append(p.spans00, value)
		default:
			if name, ok := strings.CutPrefix(key, xattrPrefix); ok && value != "" {
				p.xattrs = setXattr(p.xattrs, name, value)
			}
		}
	}
	return nil
}

// setXattr keeps one value for a name, the last.
func setXattr(xs []xattr, name, value string) []xattr {
	for i := range xs {
		if xs[i].name == name {
			xs[i].value = value
			return xs
		}
	}
	return append(xs, xattr{name, value})
}

// paxRecord cuts the first record off s.
func paxRecord(s string) (key, value, rest string, err error) {
	bad := fmt.Errorf("a malformed pax record: %w", ErrArchive)
	i := strings.IndexByte(s[:min(len(s), 12)], ' ')
	if i < 0 {
		return "", "", "", bad
	}
	n, err := decimal(s[:i])
	if err != nil || n < 5 || n > int64(len(s)) || int(n) <= i+1 || s[n-1] != '\n' {
		return "", "", "", bad
	}
	key, value, ok := strings.Cut(s[i+1:n-1], "=")
	if !ok || key == "" || strings.IndexByte(key, 0) >= 0 {
		return "", "", "", bad
	}
	switch key {
	case "path", "linkpath", "uname", "gname", "GNU.sparse.name":
		if strings.IndexByte(value, 0) >= 0 {
			return "", "", "", fmt.Errorf("a NUL in the pax record %s: %w", key, ErrArchive)
		}
	}
	return key, value, s[n:], nil
}

// apply puts the records into the header.
func (p *paxRecords) apply(h *header) (err error) {
	if p.path != "" {
		h.name = p.path
	}
	if p.linkpath != "" {
		h.link = p.linkpath
	}
	if p.size != "" {
		if h.size, err = decimal(p.size); err != nil {
			return err
		}
		if h.size < 0 {
			return fmt.Errorf("%s: a negative size: %w", quote(h.name), ErrArchive)
		}
	}
	uid, gid := int64(h.uid), int64(h.gid)
	if p.uid != "" {
		if uid, err = decimal(p.uid); err != nil {
			return err
		}
	}
	if p.gid != "" {
		if gid, err = decimal(p.gid); err != nil {
			return err
		}
	}
	if err = h.setIDs(uid, gid); err != nil {
		return err
	}
	if p.mtime != "" {
		if h.mtime, err = paxTime(p.mtime); err != nil {
			return err
		}
		h.atime = h.mtime
	}
	if p.atime != "" {
		if h.atime, err = paxTime(p.atime); err != nil {
			return err
		}
	}
	h.xattrs = append(h.xattrs, p.xattrs...)
	return nil
}

// checkGlobal reads a global header (git archive writes one, with a comment). GNU tar applies it
// to all entries after it, archive/tar to none: one that would change an entry is refused.
func checkGlobal(s string) error {
	for s != "" {
		key, value, rest, err := paxRecord(s)
		if err != nil {
			return err
		}
		s = rest
		switch key {
		case "path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime", "atime", "ctime":
		default:
			if !strings.HasPrefix(key, "GNU.") && !strings.HasPrefix(key, "SCHILY.") {
				continue
			}
		}
		if value != "" {
			return fmt.Errorf("a global header that sets %s: %w", quote(key), ErrArchive)
		}
	}
	return nil
}
