package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
)

// ErrNeedsFiles is ExtractImage's: the archive has what only Extract does (a parent that is a
// symbolic link, a hard link to a file of a lower layer). It is no ErrArchive.
var ErrNeedsFiles = errors.New("this archive has to be extracted into a directory")

// ExtractImage writes the layer r into an EROFS image, which becomes what Extract with Overlay
// would have made of it in an empty directory: no file is made on the host's file system. The
// caller closes the image. space is any file on the file system of the image, whose free space Limits
// hold to. The contract is Extract's, but for three things. Nothing is made by name, so there is no cage.
// Access times are not kept: EROFS has none. And the error may be ErrNeedsFiles: the image is worth nothing
// then and the archive must be extracted again, into a directory; r is read to its end only after
// other outcomes.
func ExtractImage(ctx context.Context, w *erofs.Writer, space *os.File, r io.Reader, o Options) (Stats, error) {
	if o.Whiteouts != Overlay || o.UserXattr || o.KeepOwner || o.SameKind || o.Mounts || o.Sync {
		return Stats{}, errors.New("unpack: an image is for layers, and for root")
	}
	if err := checkMaps(o.UIDMap, o.GIDMap); err != nil {
		return Stats{}, err
	}
	o.Limits = o.Limits.withDefaults()
	s := startStream(ctx, r, o.Limits, o.Digest)
	x := &imager{extractor: extractor{o: o}, w: w, links: make(map[*erofs.Node]bool), known: make(map[*erofs.Node]dirState)}
	x.tr = tarReader{in: &input{fill: s.next}, maxEntry: o.Limits.Entries}
	x.root = &dir{fd: int(space.Fd())} // for account
	x.lowers = lowers{dirs: o.Lowers, opaque: x.opaqueXattr()}
	err := x.all()
	x.lowers.close()
	s.finish()
	runtime.KeepAlive(space)
	if err != nil {
		return Stats{}, fmt.Errorf("unpack: %w", err)
	}
	s.stats(&x.st)
	return x.st, nil
}

// imager makes the entries of one archive in an image.
type imager struct {
	extractor
	w     *erofs.Writer
	links map[*erofs.Node]bool     // nodes that are symbolic links: false, or whiteouts: true
	known map[*erofs.Node]dirState // of directories
	// The parent of the entry before: most entries have the same.
	lastPath string
	lastDir  *erofs.Node
	index    int64
}

// indexMost bounds what is kept in memory of the image until it is closed, in bytes.
const indexMost = 256 << 20

// named accounts for a new name, and returns a copy that does not hold the whole path.
func (x *imager) named(name string) (string, error) {
	if x.index += 200 + int64(len(name)); x.index > indexMost {
		return "", refusal(ErrLimit, x.h.name, "more names than an image is made of")
	}
	return strings.Clone(name), nil
}

// dirState is what the image does not tell of a directory any more.
type dirState struct {
	meta   erofs.Meta
	opaque bool
}

// all makes all entries, and reads the stream to its end.
func (x *imager) all() error {
	x.lastDir = x.w.Root()
	if err := x.firstRoot(); err != nil {
		return err
	}
	if err := x.account(0); err != nil {
		return err
	}
	for {
		h, err := x.tr.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		x.h = h
		if err := x.entry(); err != nil {
			return err
		}
		if x.tr.entries >= x.nextEntries {
			if err := x.account(0); err != nil {
				return err
			}
		}
	}
	x.st.Entries = x.tr.entries
	if x.tr.in.off == 0 {
		return fmt.Errorf("an empty archive, without an end mark: %w", ErrArchive)
	}
	if err := x.hideRoot(); err != nil {
		return err
	}
	return x.tr.in.drain()
}

// firstRoot gives the root the attributes of the layer below's, which an entry may change.
func (x *imager) firstRoot() error {
	m := erofs.Meta{Mode: unix.S_IFDIR | 0o755}
	if len(x.o.Lowers) > 0 {
		low := x.o.Lowers[0]
		fd, err := openLow(int(low.Fd()), ".")
		if err != nil {
			return fmt.Errorf("opening the layer %s: %w", low.Name(), err)
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("looking at the layer %s: %w", low.Name(), err)
		}
		xattrs, err := keptXattrs(fd)
		if err != nil {
			return fmt.Errorf("reading the attributes of the layer %s: %w", low.Name(), err)
		}
		m = lowMeta(&st, xattrs)
	}
	return x.setDir(x.w.Root(), m, false)
}

// lowMeta are the attributes of a directory of a lower layer.
func lowMeta(st *unix.Stat_t, xattrs []xattr) erofs.Meta {
	m := erofs.Meta{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)}
	for _, a := range xattrs {
		m.Xattrs = append(m.Xattrs, erofs.Xattr{Name: a.name, Value: []byte(a.value)})
	}
	return m
}

// entry makes one entry. Its order is that of extractor.entry.
func (x *imager) entry() error {
	h := x.h
	name, err := localName(h.name, x.o.Limits.Depth)
	if err != nil {
		return err
	}
	switch {
	case h.name == "":
		return refusal(ErrArchive, h.name, "an entry without a name")
	case name == "" && h.kind != kindDir:
		return refusal(ErrArchive, h.name, "an entry without a name")
	case h.kind == kindChar && h.major == 0 && h.minor == 0:
		return refusal(ErrArchive, h.name, "the character device 0:0, which overlayfs takes for a whiteout")
	}
	h.mtime, h.atime = clampTime(h.mtime), clampTime(h.atime)
	if name == "" {
		x.st.Dirs++
		x.st.Root = true
		m, err := x.meta(unix.S_IFDIR)
		if err != nil {
			return err
		}
		return x.setDir(x.w.Root(), m, x.known[x.w.Root()].opaque)
	}
	pp, base := splitPath(name)
	mark, hidden, err := readMark(h.name, pp, base, h.kind)
	if err != nil {
		return err
	}
	switch mark {
	case meta:
		x.st.SkippedMeta++
		return nil
	case opaque, whiteout:
		x.st.Whiteouts++
		p, err := x.parent(pp)
		if err != nil {
			return err
		}
		if mark == opaque {
			return x.makeOpaque(p)
		}
		return x.hide(p, hidden)
	}
	if (h.kind == kindChar || h.kind == kindBlock) && !x.o.Devices {
		x.st.SkippedDevices++
		return nil
	}
	p, err := x.parent(pp)
	if err != nil {
		return err
	}
	switch h.kind {
	case kindDir:
		x.st.Dirs++
		err = x.directory(p, base)
	case kindLink:
		x.st.Links++
		err = x.link(p, base, name)
	default:
		err = x.node(p, base)
	}
	if err != nil && !errors.Is(err, ErrArchive) {
		return fmt.Errorf("%s: %w", quote(h.name), err)
	}
	return err
}

// meta has what all kinds share.
func (x *imager) meta(kind uint32) (m erofs.Meta, err error) {
	m.UID, m.GID, err = x.owner(x.h.uid, x.h.gid)
	if err != nil {
		return m, err
	}
	m.Mode, m.Sec, m.Nsec = kind|x.h.mode, x.h.mtime.Sec, uint32(x.h.mtime.Nsec)
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		x.st.DroppedXattrs += int64(len(x.h.xattrs)) // user.* is for files and directories only
		return m, nil
	}
	for _, a := range x.h.xattrs {
		keep, err := x.keep(a)
		if err != nil {
			return m, err
		}
		// The same name twice: the last one counts, as with setxattr(2).
		for i := range m.Xattrs {
			if keep && m.Xattrs[i].Name == a.name {
				m.Xattrs[i].Value, keep = []byte(a.value), false
			}
		}
		if keep {
			m.Xattrs = append(m.Xattrs, erofs.Xattr{Name: a.name, Value: []byte(a.value)})
		}
	}
	return m, nil
}

// parent is the directory of a path, made as far as it is missing.
func (x *imager) parent(path string) (*erofs.Node, error) {
	if path == x.lastPath {
		return x.lastDir, nil
	}
	d := x.w.Root()
	for rest, done := path, 0; rest != ""; {
		var c string
		c, rest, _ = strings.Cut(rest, "/")
		done += len(c)
		n := x.w.Lookup(d, c)
		white, special := false, false
		if n != nil {
			white, special = x.links[n]
		}
		var err error
		switch {
		case n == nil:
			n, err = x.implied(d, c, path[:done], false)
		case n.IsDir():
		case white:
			x.w.Remove(d, c)
			n, err = x.implied(d, c, path[:done], true)
		case special:
			return nil, ErrNeedsFiles // a symbolic link, to be followed
		default:
			return nil, refusal(ErrArchive, x.h.name, "%s is not a directory", quote(path[:done]))
		}
		if err != nil {
			return nil, err
		}
		d = n
		done++
	}
	x.lastPath, x.lastDir = path, d
	return d, nil
}

// implied makes a directory that a name needs and no entry gave, as the lower layers have it.
func (x *imager) implied(p *erofs.Node, name, path string, hidden bool) (*erofs.Node, error) {
	m := erofs.Meta{Mode: unix.S_IFDIR | 0o755, Sec: x.h.mtime.Sec, Nsec: uint32(x.h.mtime.Nsec)}
	var err error
	if m.UID, m.GID, err = x.owner(0, 0); err != nil {
		return nil, err
	}
	switch {
	case hidden:
	case x.o.Lowers == nil:
		x.st.Implied++
	case !x.cutOff(path):
		low, err := x.lowers.find(path)
		if err != nil {
			return nil, fmt.Errorf("%s: looking for %s in the lower layers: %w", quote(x.h.name), quote(path), err)
		}
		if low == nil {
			break
		}
		if low.st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return nil, ErrNeedsFiles
		}
		if low.st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil, refusal(ErrArchive, x.h.name, "%s is not a directory in the lower layers", quote(path))
		}
		xattrs, err := low.xattrs()
		if err != nil {
			return nil, fmt.Errorf("%s: reading the attributes of %s: %w", quote(x.h.name), quote(path), err)
		}
		m = lowMeta(&low.st, xattrs)
	}
	return x.addDir(p, name, m, hidden)
}

// cutOff says whether a directory of this archive above path hides what the lower layers have.
func (x *imager) cutOff(path string) bool {
	d := x.w.Root()
	for c := range strings.SplitSeq(path, "/") {
		if x.known[d].opaque {
			return true
		}
		if d = x.w.Lookup(d, c); d == nil || !d.IsDir() {
			return false
		}
	}
	return false
}

// withOpaque are a directory's attributes as they are stored.
func (x *imager) withOpaque(m erofs.Meta, opaque bool) erofs.Meta {
	if opaque {
		m.Xattrs = append(m.Xattrs[:len(m.Xattrs):len(m.Xattrs)], erofs.Xattr{Name: x.opaqueXattr(), Value: []byte("y")})
	}
	return m
}

// addDir makes a directory.
func (x *imager) addDir(p *erofs.Node, name string, m erofs.Meta, opaque bool) (*erofs.Node, error) {
	name, err := x.named(name)
	if err != nil {
		return nil, err
	}
	n, err := x.w.Add(p, name, x.withOpaque(m, opaque), nil)
	if err == nil {
		x.known[n] = dirState{m, opaque}
	}
	return n, err
}

// setDir gives a directory other attributes.
func (x *imager) setDir(n *erofs.Node, m erofs.Meta, opaque bool) error {
	x.known[n] = dirState{m, opaque}
	return x.w.SetMeta(n, x.withOpaque(m, opaque))
}

func (x *imager) directory(p *erofs.Node, name string) error {
	m, err := x.meta(unix.S_IFDIR)
	if err != nil {
		return err
	}
	n := x.w.Lookup(p, name)
	if n != nil && n.IsDir() {
		return x.setDir(n, m, x.known[n].opaque)
	}
	if n != nil {
		x.remove(p, name)
	}
	// What the lower layers have there was replaced by what was just removed.
	_, err = x.addDir(p, name, m, n != nil)
	return err
}

// remove takes away what stands in the way of an entry.
func (x *imager) remove(p *erofs.Node, name string) {
	x.lastPath, x.lastDir = "", x.w.Root() // it may be what is removed
	x.w.Remove(p, name)
}

// node makes what is neither a directory nor a hard link.
func (x *imager) node(p *erofs.Node, name string) error {
	h := x.h
	kind := uint32(unix.S_IFREG)
	switch h.kind {
	case kindFile:
		x.st.Files++
		if h.size > x.o.Limits.FileSize {
			return refusal(ErrLimit, h.name, "a file of %d bytes", h.size)
		}
	case kindSymlink:
		x.st.Symlinks++
		kind = unix.S_IFLNK
		if h.link == "" || len(h.link) > maxPath {
			return refusal(ErrArchive, h.name, "a symbolic link to a name of %d bytes", len(h.link))
		}
	case kindChar:
		kind = unix.S_IFCHR
	case kindBlock:
		kind = unix.S_IFBLK
	default:
		kind = unix.S_IFIFO
	}
	m, err := x.meta(kind)
	if err != nil {
		return err
	}
	var body io.Reader
	switch kind {
	case unix.S_IFREG:
		m.Size = h.size
		x.st.Size += h.size
		body = &entryBody{x: x, spans: h.spans}
		if m.Mode&0o6000 != 0 {
			x.st.SetID = true
		}
	case unix.S_IFLNK:
		x.st.Size += int64(len(h.link))
		m.Target, m.Mode = h.link, unix.S_IFLNK|0o777
	default:
		x.st.Nodes++
		m.Mode = kind | h.mode&0o777 // set-id bits mean nothing here
		m.Major, m.Minor = h.major, h.minor
		if kind == unix.S_IFIFO {
			m.Major, m.Minor = 0, 0
		}
	}
	if x.w.Lookup(p, name) != nil {
		x.remove(p, name)
	}
	if name, err = x.named(name); err != nil {
		return err
	}
	n, err := x.w.Add(p, name, m, body)
	if err == nil && kind == unix.S_IFLNK {
		x.links[n] = false
	}
	return err
}

// link gives a file of this archive another name.
func (x *imager) link(p *erofs.Node, name, path string) error {
	h := x.h
	target, err := localName(h.link, x.o.Limits.Depth)
	if err != nil {
		return refusal(err, h.name, "a hard link")
	}
	if target == "" {
		return refusal(ErrArchive, h.name, "a hard link to the root")
	}
	if below(target, path) {
		return refusal(ErrArchive, h.name, "a hard link to itself or to something below it")
	}
	tp, tbase := splitPath(target)
	t, err := x.parent(tp)
	if err != nil {
		return err
	}
	n := x.w.Lookup(t, tbase)
	switch {
	case n == nil && x.o.Lowers != nil:
		return ErrNeedsFiles
	case n == nil:
		return x.noTarget()
	case n.IsDir():
		return refusal(ErrArchive, h.name, "a hard link to the directory %s", quote(h.link))
	case x.links[n]:
		return refusal(ErrArchive, h.name, "a hard link to %s, which the archive removes", quote(h.link))
	}
	if x.w.Lookup(p, name) != nil {
		x.remove(p, name)
	}
	if name, err = x.named(name); err != nil {
		return err
	}
	return x.w.Link(p, name, n)
}

// makeOpaque hides what the lower layers have for a directory.
func (x *imager) makeOpaque(d *erofs.Node) error {
	s := x.known[d]
	if d == x.w.Root() && !s.opaque && x.o.Lowers == nil {
		x.st.Implied++ // see hideRoot
	}
	return x.setDir(d, s.meta, true)
}

// hide makes a whiteout. It applies to the layers below only: what this archive has stays.
func (x *imager) hide(p *erofs.Node, name string) error {
	if x.known[p].opaque {
		return nil
	}
	if n := x.w.Lookup(p, name); n != nil {
		if n.IsDir() {
			return x.setDir(n, x.known[n].meta, true)
		}
		return nil
	}
	name, err := x.named(name)
	if err != nil {
		return err
	}
	n, err := x.w.Add(p, name, erofs.Meta{Mode: unix.S_IFCHR}, nil)
	if err != nil {
		return fmt.Errorf("making the whiteout of %s: %w", quote(name), err)
	}
	x.links[n] = true
	return nil
}

// hideRoot hides each name that the lower layers have in the root, if the archive made that
// opaque: overlayfs does not look at the mark of a layer's root.
func (x *imager) hideRoot() error {
	root := x.w.Root()
	s := x.known[root]
	if !s.opaque {
		return nil
	}
	x.known[root] = dirState{s.meta, false} // so that hide works; the mark stays in the image
	for _, l := range x.o.Lowers {
		fd, err := openLow(int(l.Fd()), ".")
		if err != nil {
			return fmt.Errorf("opening the layer %s: %w", l.Name(), err)
		}
		names, err := readNames(fd, 0)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("listing the layer %s: %w", l.Name(), err)
		}
		for _, n := range names {
			if err := x.hide(root, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// entryBody is the data of the entry at hand, with the holes of a sparse file as zeros.
type entryBody struct {
	x     *imager
	spans []span
	pos   int64 // of a sparse file
}

// hole is how many zero bytes are due.
func (b *entryBody) hole() int64 {
	for len(b.spans) > 0 && b.pos >= b.spans[0].off+b.spans[0].len {
		b.spans = b.spans[1:]
	}
	if len(b.spans) > 0 {
		return max(0, b.spans[0].off-b.pos)
	}
	return b.x.h.size - b.pos
}

// SkipHole implements erofs.Holes.
func (b *entryBody) SkipHole(limit int64) (int64, error) {
	if !b.x.h.sparse {
		return 0, nil
	}
	n := min(b.hole(), limit)
	if n < limit {
		n &^= 4095
	}
	b.pos += n
	return n, nil
}

// Read implements io.Reader.
func (b *entryBody) Read(p []byte) (int, error) {
	most := int64(len(p))
	if b.x.h.sparse {
		if n := min(b.hole(), most); n > 0 {
			clear(p[:n])
			b.pos += n
			return int(n), nil
		}
		if len(b.spans) > 0 {
			most = min(most, b.spans[0].off+b.spans[0].len-b.pos)
		}
	}
	data, err := b.x.tr.data(most)
	if err != nil {
		return 0, err
	}
	n := copy(p, data)
	b.pos += int64(n)
	return n, b.x.account(int64(n))
}
