package erofs

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Close writes the directories, the link counts, and the superblock last. The image's length is
// then a multiple of 4 KiB.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return nil
	}
	w.closed = true
	if err := w.finish(); err != nil {
		w.err = err
		return err
	}
	return nil
}

func (w *Writer) finish() error {
	dirs := w.directories()
	// A directory's entries name its parent and its children by number, so all directories get
	// their place before the first is written.
	for _, n := range dirs {
		if err := w.placeDir(n); err != nil {
			return err
		}
	}
	for _, n := range dirs {
		if n != w.root {
			if err := w.writeDir(n); err != nil {
				return err
			}
		}
	}
	block0, err := w.rootRecord()
	if err != nil {
		return err
	}
	if err := w.out.flush(); err != nil {
		return err
	}
	inodes, err := w.writeLinkCounts(dirs)
	if err != nil {
		return err
	}
	if err := w.out.w.Truncate(w.out.next * blockSize); err != nil {
		return err
	}
	if len(block0) > blockSize {
		if err := w.out.pwrite(blockSize, block0[blockSize:]); err != nil {
			return err
		}
	}
	putSuper(block0[:blockSize], inodes, uint64(w.out.next), w.opts)
	_, err = w.out.w.WriteAt(block0[:blockSize], 0)
	return err
}

// writeLinkCounts counts the names of each inode and writes the counts that are not 1, which the
// inodes say. It returns the number of inodes.
func (w *Writer) writeLinkCounts(dirs []*Node) (inodes uint64, err error) {
	var linked []*Node
	inodes = uint64(len(dirs))
	for _, d := range dirs {
		for _, e := range d.dir.entries {
			if e.node.dir != nil {
				continue
			}
			switch e.node.names++; e.node.names {
			case 1:
				inodes++
			case 2:
				linked = append(linked, e.node)
			}
		}
	}
	for _, n := range linked {
		count := binary.LittleEndian.AppendUint32(nil, n.names)
		if _, err := w.out.w.WriteAt(count, int64(n.nid)*slotSize+nlinkOffset); err != nil {
			return 0, err
		}
	}
	return inodes, nil
}

// directories lists them, parents first, names sorted as the kernel compares them: bytes.
func (w *Writer) directories() []*Node {
	all := []*Node{w.root}
	for i := 0; i < len(all); i++ {
		d := all[i].dir
		d.index = nil
		slices.SortFunc(d.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		for _, e := range d.entries {
			if e.node.dir != nil {
				all = append(all, e.node)
			}
		}
	}
	return all
}

// placeDir decides where a directory's inode and names go.
func (w *Writer) placeDir(n *Node) error {
	d := n.dir
	d.size = namesSize(n)
	tail := d.size % blockSize
	record := inodeSize + len(d.xattrs)
	blocks := (d.size + blockSize - 1) / blockSize
	if n != w.root && tail > 0 && int64(record)+tail <= blockSize {
		d.layout = layoutInline
		record += int(tail)
		blocks--
	}
	if blocks > 0 {
		start, err := w.out.allocate(blocks)
		if err != nil {
			return err
		}
		d.start = uint32(start)
	}
	if n == w.root {
		d.offset = rootOffset
		return nil
	}
	off, err := w.out.place(record)
	if err != nil {
		return err
	}
	d.offset = off
	n.nid = uint64(off) / slotSize
	return nil
}

// names calls f for the entries of a directory in order, "." and ".." among them.
func names(n *Node, f func(name string, node *Node)) {
	dots := []entry{{".", n}, {"..", n.parent}}
	for _, e := range n.dir.entries {
		for len(dots) > 0 && dots[0].name < e.name {
			f(dots[0].name, dots[0].node)
			dots = dots[1:]
		}
		f(e.name, e.node)
	}
	for _, e := range dots {
		f(e.name, e.node)
	}
}

// namesSize is the size of a directory's data: whole blocks, and the bytes of the last.
func namesSize(n *Node) int64 {
	var blocks, used int64
	names(n, func(name string, _ *Node) {
		need := int64(direntSize + len(name))
		if used+need > blockSize {
			blocks++
			used = 0
		}
		used += need
	})
	return blocks*blockSize + used
}

// appendNames appends a directory's data: in each block the fixed parts, then the names.
func appendNames(out []byte, n *Node) []byte {
	var block []entry
	used := 0
	flush := func(pad bool) {
		start := len(out)
		nameoff := len(block) * direntSize
		for _, e := range block {
			out = binary.LittleEndian.AppendUint64(out, e.node.nid)
			out = binary.LittleEndian.AppendUint16(out, uint16(nameoff))
			out = append(out, fileType(e.node), 0)
			nameoff += len(e.name)
		}
		for _, e := range block {
			out = append(out, e.name...)
		}
		if pad {
			out = append(out, make([]byte, blockSize-(len(out)-start))...)
		}
		block, used = block[:0], 0
	}
	names(n, func(name string, node *Node) {
		need := direntSize + len(name)
		if used+need > blockSize {
			flush(true)
		}
		used += need
		block = append(block, entry{name, node})
	})
	flush(false)
	return out
}

// fileType is a dirent's type (EROFS_FT_*, the same as ext2's).
func fileType(n *Node) uint8 {
	switch n.fileType {
	case unix.DT_REG:
		return 1
	case unix.DT_DIR:
		return 2
	case unix.DT_CHR:
		return 3
	case unix.DT_BLK:
		return 4
	case unix.DT_FIFO:
		return 5
	case unix.DT_SOCK:
		return 6
	case unix.DT_LNK:
		return 7
	}
	return 0
}

func (d *directory) inode(n *Node) inode {
	subdirs := uint32(0)
	for _, e := range d.entries {
		if e.node.dir != nil {
			subdirs++
		}
	}
	return inode{
		layout: d.layout, xattrs: len(d.xattrs), mode: d.meta.Mode, size: uint64(d.size), union: d.start, ino: n.ino,
		uid: d.meta.UID, gid: d.meta.GID, sec: d.meta.Sec, nsec: d.meta.Nsec, nlink: 2 + subdirs,
	}
}

// writeDir writes a directory where placeDir put it.
func (w *Writer) writeDir(n *Node) error {
	d := n.dir
	data := appendNames(nil, n)
	if int64(len(data)) != d.size {
		return errors.New("EROFS image: a directory changed while it was written")
	}
	in := d.inode(n)
	rec := append(in.append(nil), d.xattrs...)
	whole := data
	if d.layout == layoutInline {
		cut := d.size - d.size%blockSize
		rec = append(rec, data[cut:]...)
		whole = data[:cut]
	}
	if len(whole) > 0 {
		if err := w.out.pwrite(int64(d.start)*blockSize, whole); err != nil {
			return err
		}
	}
	return w.out.write(d.offset, rec)
}

// rootRecord writes the root's names, and returns the blocks with its inode: block 0 and those of
// its extended attributes.
func (w *Writer) rootRecord() ([]byte, error) {
	n := w.root
	d := n.dir
	if err := w.out.pwrite(int64(d.start)*blockSize, appendNames(nil, n)); err != nil {
		return nil, err
	}
	in := d.inode(n)
	rec := make([]byte, rootOffset)
	rec = append(in.append(rec), d.xattrs...)
	if rest := len(rec) % blockSize; rest != 0 {
		rec = append(rec, make([]byte, blockSize-rest)...)
	}
	return rec, nil
}
