package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// The on-disk format, of fs/erofs/erofs_fs.h.
const (
	blockBits = 12
	blockSize = 1 << blockBits

	superOffset = 1024
	superSize   = 128
	superMagic  = 0xe0f5e1e2

	compatChecksum = 0x1 // the superblock has a checksum
	compatMtime    = 0x2 // inodes have a modification time

	inodeSize = 64
	slotSize  = 32 // a nid counts these

	// rootOffset is where the root's inode is: the superblock has 16 bits for its nid.
	rootOffset = superOffset + superSize
	rootNid    = rootOffset / slotSize
	// rootBlocks are kept for the root and its extended attributes, which are known last.
	rootBlocks = 17

	layoutPlain  = 0 // all data in blocks
	layoutInline = 2 // the last bytes follow the inode

	direntSize = 12

	xattrHeaderSize = 12
	xattrEntrySize  = 4
	// maxXattrs is what 16 bits of i_xattr_icount can count.
	maxXattrs = xattrHeaderSize + 4*(1<<16-2)

	maxBlocks = 1 << 32 // block numbers have 32 bits
	maxName   = 255
)

// xattrPrefixes are the name spaces that EROFS has a number for. Attributes of others (system.
// ones of network file systems, btrfs.) describe the host's file system, not the file.
var xattrPrefixes = [...]struct {
	index  uint8
	prefix string
	whole  bool // the number is the whole name
}{
	{1, "user.", false},
	{2, "system.posix_acl_access", true},
	{3, "system.posix_acl_default", true},
	{4, "trusted.", false},
	{6, "security.", false},
}

// xattrIndex splits a name into its number and the rest.
func xattrIndex(name string) (index uint8, rest string, ok bool) {
	for _, p := range xattrPrefixes {
		if rest, found := strings.CutPrefix(name, p.prefix); found && (rest == "") == p.whole {
			return p.index, rest, true
		}
	}
	return 0, "", false
}

// Representable says whether an extended attribute can be stored in an image: user., trusted.,
// security. and the two POSIX ACLs.
func Representable(name string) bool {
	_, rest, ok := xattrIndex(name)
	return ok && len(rest) <= 255
}

// appendXattrs appends the inline form of attributes, nothing when there are none.
func appendXattrs(out []byte, xattrs []Xattr) ([]byte, error) {
	if len(xattrs) == 0 {
		return out, nil
	}
	start := len(out)
	// h_name_filter (unused without its feature bit), h_shared_count 0, reserved.
	out = append(out, make([]byte, xattrHeaderSize)...)
	for _, x := range xattrs {
		index, rest, ok := xattrIndex(x.Name)
		switch {
		case !ok || len(rest) > 255:
			return nil, fmt.Errorf("extended attribute %q: EROFS cannot store this name", x.Name)
		case len(x.Value) > 1<<16-1:
			return nil, fmt.Errorf("extended attribute %q: %d bytes of value, EROFS stores at most 65535", x.Name, len(x.Value))
		}
		out = append(out, uint8(len(rest)), index)
		out = binary.LittleEndian.AppendUint16(out, uint16(len(x.Value)))
		out = append(out, rest...)
		out = append(out, x.Value...)
		for (len(out)-start)%4 != 0 {
			out = append(out, 0)
		}
	}
	if len(out)-start > maxXattrs {
		return nil, fmt.Errorf("extended attributes of %d bytes, EROFS stores at most %d", len(out)-start, maxXattrs)
	}
	return out, nil
}

// inode is what an inode on disk says, but for the data that follows it.
type inode struct {
	layout uint16
	xattrs int // bytes
	mode   uint32
	size   uint64
	union  uint32 // first data block, or device number
	ino    uint32
	uid    uint32
	gid    uint32
	sec    int64
	nsec   uint32
	nlink  uint32
}

const nlinkOffset = 44 // of i_nlink in the inode

func (i *inode) append(out []byte) []byte {
	le := binary.LittleEndian
	out = le.AppendUint16(out, 1|i.layout<<1) // version 1: extended
	icount := 0
	if i.xattrs > 0 {
		icount = (i.xattrs-xattrHeaderSize)/4 + 1
	}
	out = le.AppendUint16(out, uint16(icount))
	out = le.AppendUint16(out, uint16(i.mode))
	out = le.AppendUint16(out, 0)
	out = le.AppendUint64(out, i.size)
	out = le.AppendUint32(out, i.union)
	out = le.AppendUint32(out, i.ino)
	out = le.AppendUint32(out, i.uid)
	out = le.AppendUint32(out, i.gid)
	out = le.AppendUint64(out, uint64(i.sec))
	out = le.AppendUint32(out, i.nsec)
	out = le.AppendUint32(out, i.nlink)
	return append(out, make([]byte, 16)...)
}

// putSuper fills in the superblock of block 0, whose root inode is there already: the checksum
// covers the block from the superblock on.
func putSuper(block []byte, inodes, blocks uint64, o Options) {
	le := binary.LittleEndian
	s := block[superOffset : superOffset+superSize]
	clear(s)
	le.PutUint32(s[0:], superMagic)
	le.PutUint32(s[8:], compatChecksum|compatMtime)
	s[12] = blockBits
	le.PutUint16(s[14:], rootNid)
	le.PutUint64(s[16:], inodes)
	le.PutUint64(s[24:], uint64(o.BuildTime))
	le.PutUint32(s[36:], uint32(blocks))
	copy(s[48:64], o.UUID[:])
	le.PutUint32(s[4:], checksum(block))
}

// checksum is crc32c without the final inversion, as the kernel's crc32c(~0, …) is.
func checksum(block []byte) uint32 {
	return ^crc32.Checksum(block[superOffset:blockSize], crc32.MakeTable(crc32.Castagnoli))
}

// Super is what Inspect finds in a superblock.
type Super struct {
	Inodes uint64
	Blocks uint64 // of 4 KiB: what the image needs; the file may not be shorter
	UUID   [16]byte
}

// ErrNotImage is the class of Inspect's findings.
var ErrNotImage = errors.New("not a finished EROFS image")

// Inspect reads the superblock of an image that this package wrote and checks its magic number,
// its checksum, and that the file of size bytes has all the blocks. It says nothing of the data.
func Inspect(r io.ReaderAt, size int64) (Super, error) {
	block := make([]byte, blockSize)
	if _, err := r.ReadAt(block, 0); err != nil {
		return Super{}, fmt.Errorf("%w: reading its first block: %w", ErrNotImage, err)
	}
	le := binary.LittleEndian
	s := block[superOffset : superOffset+superSize]
	if le.Uint32(s[0:]) != superMagic {
		return Super{}, fmt.Errorf("%w: no magic number", ErrNotImage)
	}
	want := le.Uint32(s[4:])
	le.PutUint32(s[4:], 0)
	if got := checksum(block); got != want {
		return Super{}, fmt.Errorf("%w: checksum of the superblock %08x, it says %08x", ErrNotImage, got, want)
	}
	out := Super{Inodes: le.Uint64(s[16:]), Blocks: uint64(le.Uint32(s[36:]))}
	copy(out.UUID[:], s[48:64])
	if s[12] != blockBits {
		return Super{}, fmt.Errorf("%w: blocks of 2^%d bytes", ErrNotImage, s[12])
	}
	if uint64(size) < out.Blocks*blockSize {
		return Super{}, fmt.Errorf("%w: %d bytes, its superblock asks for %d", ErrNotImage, size, out.Blocks*blockSize)
	}
	return out, nil
}
