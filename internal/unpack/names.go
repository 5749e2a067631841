package unpack

import (
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	// metaPrefix begins aufs's own files (".wh..wh.aufs", ".wh..wh.plnk"), and opaqueName.
	metaPrefix = ".wh..wh."
	opaqueName = ".wh..wh..opq"
)

// localName turns a name of the archive into a path below the root, without leading,
// trailing or double slashes and without "."; "" is the root. What is left has only ordinary components.
func localName(name string, depth int) (string, error) {
	if len(name) > maxPath {
		return "", refusal(ErrLimit, name, "a name of %d bytes", len(name))
	}
	clean := true // as it stands
	start := 0
	count := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			if name[i] == 0 {
				return "", refusal(ErrArchive, name, "a NUL in a name")
			}
			continue
		}
		switch c := name[start:i]; {
		case c == "" || c == ".":
			clean = false
		case c == "..":
			return "", refusal(ErrArchive, name, `".." in a name`)
		case len(c) > maxComponent:
			return "", refusal(ErrLimit, name, "a component of %d bytes", len(c))
		default:
			count++
		}
		start = i + 1
	}
	if count > depth+1 {
		return "", refusal(ErrLimit, name, "more than %d directories deep", depth)
	}
	if clean {
		return name, nil
	}
	parts := make([]string, 0, count)
	for c := range strings.SplitSeq(name, "/") {
		if c != "" && c != "." {
			parts = append(parts, c)
		}
	}
	return strings.Join(parts, "/"), nil
}

// splitPath cuts a path below the root into its parent and its last component.
func splitPath(p string) (parent, base string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p
	}
	return p[:i], p[i+1:]
}

func joinPath(parent, base string) string {
	if parent == "" {
		return base
	}
	return parent + "/" + base
}

// below says whether p is dir or in it.
func below(p, dir string) bool {
	return dir == "" || strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/')
}

// mark is what a name of a layer says beside its path.
type mark int

const (
	noMark   mark = iota
	whiteout      // base is the name that is hidden
	opaque        // the parent's lower content is hidden
	meta          // aufs's own, to be left out
)

// readMark interprets ".wh." names of a layer. raw is for messages.
func readMark(raw, parent, base string, kind byte) (mark, string, error) {
	if strings.Contains(parent, whiteoutPrefix) { // rare: look closer
		for c := range strings.SplitSeq(parent, "/") {
			if strings.HasPrefix(c, metaPrefix) {
				return meta, "", nil
			}
			if strings.HasPrefix(c, whiteoutPrefix) {
				return 0, "", refusal(ErrArchive, raw, "a whiteout used as a directory")
			}
		}
	}
	hidden, ok := strings.CutPrefix(base, whiteoutPrefix)
	if !ok {
		return noMark, base, nil
	}
	if base != opaqueName && strings.HasPrefix(base, metaPrefix) {
		return meta, "", nil
	}
	// Aufs's layers have whiteouts that are hard links to one file.
	if kind != kindFile && kind != kindLink {
		return 0, "", refusal(ErrArchive, raw, "a whiteout that is not a file")
	}
	switch {
	case base == opaqueName:
		return opaque, "", nil
	case hidden == "" || hidden == "." || hidden == "..":
		return 0, "", refusal(ErrArchive, raw, "a whiteout of nothing")
	}
	return whiteout, hidden, nil
}
