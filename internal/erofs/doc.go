// Package erofs writes EROFS images: read-only file systems in one file, which the kernel mounts
// from that file (Linux 6.12 and newer; older ones through a loop device).
//
// A layer of 50,000 files is 50,000 inodes of the host's file system as a directory, and one
// file as an image: it is written in one pass, at the speed of the disk, and deleted at once.
//
// # Writing
//
// The Writer takes entries in any order in which a directory comes before what is in it, and
// reads each file's bytes once, straight to their place in the image; nothing is spooled. It
// holds about 150 bytes an entry, and the extended attributes of directories.
//
//	w, err := erofs.NewWriter(file, erofs.Options{})
//	etc, err := w.Add(w.Root(), "etc", erofs.Meta{Mode: unix.S_IFDIR | 0o755}, nil)
//	host, err := w.Add(etc, "hostname", erofs.Meta{Mode: unix.S_IFREG | 0o644, Size: 5}, body)
//	err = w.Link(etc, "hostname2", host)
//	err = w.Close() // directories, link counts, the superblock last
//
// The superblock is written last: an image that was not finished is no EROFS image. Close does
// not sync; who promises durability calls fsync. The same entries in the same order give the
// same bytes.
//
// # Format
//
// Uncompressed, blocks of 4 KiB, extended inodes (32-bit ids, nanoseconds), as the kernel's
// Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h define it:
//
//	block 0        superblock at 1024, the root directory's inode at 1152 (nid 36)
//	block 1…16     room for the root's extended attributes, else a hole
//	block 17…      as entries come: whole blocks of file data, and blocks of inodes
//	               inode (64 bytes) · extended attributes · the last bytes of the file (tail),
//	               when all three fit into one block
//	then           directories: sorted names, and their inodes
//
// An inode's number (nid) is its offset in the image divided by 32. Blocks of zeros are not
// written: where the host's file system has holes they cost nothing.
//
// Why our own: github.com/erofs/go-erofs, which is the oracle of the tests, writes no hard
// links (two names of one file become two files), copies all data twice, and opens every file
// before it writes the first.
package erofs
