// Package unpack is the one extractor for every archive that Hull reads: image layers, `load`,
// `import`, `cp`, `ADD` (SECURITY.md R9). Extract turns a tar stream, plain or compressed, into
// files below one directory, and nowhere else. Write and Diff go the other way: a tree, or what
// changed in it, becomes a tar stream with the same bytes each time.
//
// # What goes in
//
// The stream is hostile. It may be plain tar, gzip (any number of members), zstd (any number of
// frames), bzip2 or xz; the first bytes say which. No program is started for any of them. Tar is read
// by a reader of our own (header.go, pax.go, sparse.go), which accepts less than archive/tar does:
// where archive/tar and GNU tar would see different members in the same bytes, the archive is
// refused. A fuzz target holds it to that: what it accepts, archive/tar reads the same.
//
// Everything has a bound (Limits): bytes, entries, ratio of decompression, length and depth of a
// name, length of an extended header, entries of a sparse map, free space that must be left. Memory is a
// few megabytes whatever comes, plus what a zstd frame asks as its window, or an xz block as its dictionary.
//
// # What comes out
//
// Names are local: a leading slash is dropped, "..", NUL and components over 255 bytes refuse the
// archive. A parent that is a symbolic link, of this archive or of a lower layer, is followed
// inside the root as chroot(2) would, by our own walk over descriptors (resolve.go); the kernel
// never follows one for us (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS). A new file is
// always a new inode: what stood there is removed first, so nothing is written through a link.
// Hard links lead to a file of this archive, or of a lower layer when Options.Lowers is given.
// Whiteouts follow no link. Devices are made when Options.Devices asks; of extended
// attributes only security.capability and user.* (not user.overlay.*) are kept.
//
// Modes, owners (mapped through Options.UIDMap and GIDMap), times to the nanosecond, holes of sparse files
// and file capabilities are those of the archive. The times of a directory are set when the last
// entry below it has been made. A directory that no entry names gets the attributes of the lower layers'
// directory of that name, else 0755, root, and the time of the entry that needed it; Stats.Implied counts those.
//
// The same archive gives the same tree with Overlay (one directory per layer, stacked by
// overlayfs) and with Apply (a copy of the tree below, changed in place); a test compares the two.
//
// ExtractImage makes of the same stream an EROFS image that shows what Extract with Overlay would have made, for a
// fraction of the time: one file is written, none of the archive's own. What it cannot do (parents that are
// links, hard links to files of lower layers) it leaves to Extract, by ErrNeedsFiles.
//
// # The cage
//
// The goroutine that makes files runs on a thread of its own, which ends with it. That thread is
// under Landlock, where the kernel has it: it can open and change files below the
// target directory alone, whatever a mistake in this package makes it try. Parsing and
// decompression are Go code in goroutines that open nothing.
// docs/dev/decisions/0010-unpack-cage.md says why it is not a child process.
//
// # Contract
//
// Extract reads r to its end, also past the end mark of the archive, so that Stats.DiffID and
// Stats.Digest cover every byte. It returns when nothing uses r, dir or a descriptor of its own
// any more; a Read of r that blocks must return when ctx ends. The directory belongs to the call:
// if somebody else changes it meanwhile (a container whose files `cp` writes), what is made in it is
// undefined, but nothing outside is read or changed. After an error, a directory that was empty is empty again; one that was
// not holds part of the archive. Errors are one sentence; errors.Is tells ErrArchive (the bytes
// are refused), ErrLimit (a bound was hit; also ErrArchive) and ErrNeedsLower from errors of the system.
package unpack
