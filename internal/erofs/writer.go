package erofs

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

// Options of an image.
type Options struct {
	// UUID tells images apart: overlayfs keeps inode numbers across a copy-up only when the file
	// systems of its layers have different ones.
	UUID [16]byte
	// BuildTime is the image's own time, in seconds since 1970.
	BuildTime int64
}

// Xattr is an extended attribute with its whole name ("security.capability").
type Xattr struct {
	Name  string
	Value []byte
}

// Meta are an inode's attributes.
type Meta struct {
	Mode     uint32 // st_mode: type and permissions
	UID, GID uint32
	Sec      int64 // modification time: the only one that EROFS has
	Nsec     uint32
	Size     int64  // bytes of a regular file's body
	Target   string // of a symbolic link
	Major    uint32 // of a device
	Minor    uint32
	Xattrs   []Xattr // stored in this order; each Representable
}

// Node is an inode of the image. It is good until the Writer is closed.
type Node struct {
	parent   *Node
	name     string // of a directory, for messages
	nid      uint64
	names    uint32 // counted by Close
	ino      uint32
	dir      *directory // nil: not a directory
	fileType uint8
}

// directory is kept until Close: its names and where it is are known last.
type directory struct {
	meta    Meta
	xattrs  []byte
	entries []entry
	index   map[string]int // made when there are many entries
	offset  int64          // of the inode
	start   uint32         // first block of its data
	layout  uint16
	size    int64
}

type entry struct {
	name string
	node *Node
}

// Writer writes one image. It is not for concurrent use.
type Writer struct {
	out    output
	opts   Options
	root   *Node
	added  uint32 // inodes so far
	record []byte // scratch: the inode being added
	xattrs []byte // scratch
	err    error  // of an earlier call: the image is lost
	closed bool
}

// Output is where an image goes: an *os.File, empty at first.
type Output interface {
	io.WriterAt
	// Truncate sets the length, when the image is finished.
	Truncate(size int64) error
}

// Holes is what a body may be that knows where it has nothing but zeros: they are not read.
type Holes interface {
	// SkipHole skips zero bytes where the body stands, at most limit, and returns how many: a
	// multiple of 4096, or limit.
	SkipHole(limit int64) (int64, error)
}

// NewWriter begins an image in out, which must be empty. Writes are at increasing offsets for the
// most part; blocks of inodes are filled while data goes on after them.
func NewWriter(out Output, o Options) *Writer {
	w := &Writer{opts: o, added: 1}
	w.out.init(out)
	w.root = &Node{nid: rootNid, dir: &directory{meta: Meta{Mode: unix.S_IFDIR | 0o755}}, fileType: unix.DT_DIR, name: "/"}
	w.root.parent = w.root
	return w
}

// Root is the root directory: mode 0755 of 0:0 until SetMeta.
func (w *Writer) Root() *Node { return w.root }

// SetMeta gives a directory other attributes. Attributes of other inodes are on disk already.
func (w *Writer) SetMeta(n *Node, m Meta) error {
	if n.dir == nil || m.Mode&unix.S_IFMT != unix.S_IFDIR {
		return w.fail(n.name, errors.New("attributes can be changed of directories only"))
	}
	x, err := appendXattrs(nil, m.Xattrs)
	if err != nil {
		return w.fail(n.name, err)
	}
	if n == w.root && inodeSize+len(x) > rootBlocks*blockSize-rootOffset {
		return w.fail(n.name, fmt.Errorf("%d bytes of extended attributes on the root directory, there is room for %d", len(x), rootBlocks*blockSize-rootOffset-inodeSize))
	}
	n.dir.meta, n.dir.xattrs = m, x
	return nil
}

// Lookup finds an entry of a directory, nil when there is none.
func (w *Writer) Lookup(parent *Node, name string) *Node {
	if parent.dir == nil {
		return nil
	}
	if i := parent.dir.find(name); i >= 0 {
		return parent.dir.entries[i].node
	}
	return nil
}

// IsDir says whether a node is a directory.
func (n *Node) IsDir() bool { return n.dir != nil }

// Remove takes an entry out of its directory, with what is below it. The space of what is not
// named any more stays used.
func (w *Writer) Remove(parent *Node, name string) {
	d := parent.dir
	if d == nil {
		return
	}
	i := d.find(name)
	if i < 0 {
		return
	}
	last := len(d.entries) - 1
	d.entries[i] = d.entries[last]
	d.entries = d.entries[:last]
	d.index = nil
}

// Add makes an inode, named name in the directory parent. The body of a regular file is exactly
// Meta.Size bytes: less is io.ErrUnexpectedEOF, more is not read. An error other than of a name
// leaves the image unusable.
func (w *Writer) Add(parent *Node, name string, m Meta, body io.Reader) (*Node, error) {
	if err := w.check(parent, name); err != nil {
		return nil, err
	}
	n := &Node{parent: parent, ino: w.added}
	x, err := appendXattrs(w.xattrs[:0], m.Xattrs)
	if err != nil {
		return nil, w.fail(name, err)
	}
	w.xattrs = x[:0]
	in := inode{xattrs: len(x), mode: m.Mode, uid: m.UID, gid: m.GID, sec: m.Sec, nsec: m.Nsec, nlink: 1, ino: n.ino}
	switch m.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		n.fileType = unix.DT_DIR
		n.name = name
		n.dir = &directory{meta: m, xattrs: append([]byte(nil), x...)}
	case unix.S_IFREG:
		n.fileType = unix.DT_REG
		err = w.addData(n, &in, x, m.Size, body)
	case unix.S_IFLNK:
		n.fileType = unix.DT_LNK
		if m.Target == "" || len(m.Target) >= unix.PathMax || strings.IndexByte(m.Target, 0) >= 0 {
			return nil, w.fail(name, fmt.Errorf("a symbolic link with a target of %d bytes that no kernel takes", len(m.Target)))
		}
		err = w.addData(n, &in, x, int64(len(m.Target)), strings.NewReader(m.Target))
	case unix.S_IFCHR, unix.S_IFBLK:
		n.fileType = unix.DT_CHR
		if m.Mode&unix.S_IFMT == unix.S_IFBLK {
			n.fileType = unix.DT_BLK
		}
		if m.Major > 0xfff || m.Minor > 0xfffff {
			return nil, w.fail(name, fmt.Errorf("device %d:%d is beyond 12 and 20 bits", m.Major, m.Minor))
		}
		in.union = m.Minor&0xff | m.Major<<8 | m.Minor&^0xff<<12 // new_encode_dev of the kernel
		err = w.addData(n, &in, x, 0, nil)
	case unix.S_IFIFO, unix.S_IFSOCK:
		n.fileType = unix.DT_FIFO
		if m.Mode&unix.S_IFMT == unix.S_IFSOCK {
			n.fileType = unix.DT_SOCK
		}
		err = w.addData(n, &in, x, 0, nil)
	default:
		err = fmt.Errorf("mode %#o has no type", m.Mode)
	}
	if err != nil {
		return nil, w.fail(name, err)
	}
	w.added++
	parent.dir.add(name, n)
	return n, nil
}

// Link gives a node that is not a directory another name.
func (w *Writer) Link(parent *Node, name string, n *Node) error {
	if err := w.check(parent, name); err != nil {
		return err
	}
	if n.dir != nil {
		return w.fail(name, errors.New("a directory has one name"))
	}
	parent.dir.add(name, n)
	return nil
}

// check says whether name can be added. These errors leave the image as it was.
func (w *Writer) check(parent *Node, name string) error {
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return errors.New("EROFS image: it is closed")
	case parent == nil || parent.dir == nil:
		return fmt.Errorf("EROFS image: add %q: the parent is not a directory", name)
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("EROFS image: add %q: not the name of a file", name)
	case len(name) > maxName:
		return fmt.Errorf("EROFS image: add a name of %d bytes, at most %d: %w", len(name), maxName, unix.ENAMETOOLONG)
	case parent.dir.find(name) >= 0:
		return fmt.Errorf("EROFS image: add %q: %w", name, unix.EEXIST)
	}
	return nil
}

func (w *Writer) fail(name string, err error) error {
	w.err = fmt.Errorf("EROFS image: add %q: %w", name, err)
	return w.err
}

// addData writes the data, the inode and what follows it, and sets the node's number.
func (w *Writer) addData(n *Node, in *inode, xattrs []byte, size int64, body io.Reader) error {
	if size < 0 || size > math.MaxInt64-blockSize {
		return fmt.Errorf("a size of %d bytes", size)
	}
	in.size = uint64(size)
	tail := size % blockSize
	inline := tail > 0 && inodeSize+int64(len(xattrs))+tail <= blockSize
	whole := size
	if inline {
		whole -= tail
		in.layout = layoutInline
	}
	if whole > 0 {
		start, err := w.out.allocate((whole + blockSize - 1) / blockSize)
		if err != nil {
			return err
		}
		in.union = uint32(start)
		if err := w.out.copy(start*blockSize, body, whole); err != nil {
			return err
		}
	}
	rec := append(in.append(w.record[:0]), xattrs...)
	if inline {
		at := len(rec)
		rec = append(rec, make([]byte, tail)...)
		if _, err := io.ReadFull(body, rec[at:]); err != nil {
			return short(err)
		}
	}
	w.record = rec[:0]
	off, err := w.out.place(len(rec))
	if err != nil {
		return err
	}
	n.nid = uint64(off) / slotSize
	return w.out.write(off, rec)
}

// short is the error of a body that ends early.
func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d *directory) find(name string) int {
	const many = 16
	if len(d.entries) < many {
		for i := range d.entries {
			if d.entries[i].name == name {
				return i
			}
		}
		return -1
	}
	if d.index == nil {
		d.index = make(map[string]int, 2*len(d.entries))
		for i := range d.entries {
			d.index[d.entries[i].name] = i
		}
	}
	if i, ok := d.index[name]; ok {
		return i
	}
	return -1
}

func (d *directory) add(name string, n *Node) {
	d.entries = append(d.entries, entry{name, n})
	if d.index != nil {
		d.index[name] = len(d.entries) - 1
	}
}
