package unpack

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
)

// Errors that Extract's errors wrap.
var (
	// ErrArchive: the bytes are no archive, or ask for something that is refused.
	ErrArchive = errors.New("archive refused")
	// ErrLimit: a bound of Limits was hit. It is an ErrArchive too.
	ErrLimit = fmt.Errorf("%w: over the limit", ErrArchive)
	// ErrNeedsLower: a hard link leads to a file that only a lower layer can have, and
	// Options.Lowers was not given. Extract into an empty directory again, with it. It is an ErrArchive too.
	ErrNeedsLower = fmt.Errorf("%w: a lower layer is needed", ErrArchive)
)

// Whiteouts says what names that begin with ".wh." mean (image-spec, layer.md, "Whiteouts").
type Whiteouts int

const (
	// Plain: the archive is no layer. A name that begins with ".wh." is refused, since a layer
	// made of the tree later could not hold it.
	Plain Whiteouts = iota
	// Overlay: the directory becomes a lowerdir of overlayfs. ".wh.NAME" becomes a character
	// device 0/0 called NAME, ".wh..wh..opq" the directory's xattr trusted.overlay.opaque=y.
	Overlay
	// Apply: the directory holds the tree of the lower layers; whiteouts remove files of it,
	// never files of the same archive.
	Apply
)

// IDMap maps Size ids from Container up to ids from Host up, as user_namespaces(7) does.
type IDMap struct{ Container, Host, Size uint32 }

// Owner is a numeric user and group.
type Owner struct{ UID, GID uint32 }

// Options of Extract. The zero value takes everything from the archive, makes no devices and
// has the default limits.
type Options struct {
	Whiteouts Whiteouts
	// UserXattr writes user.overlay.* in place of trusted.overlay.*, for overlayfs mounts with
	// userxattr (user namespaces). Only with Overlay.
	UserXattr bool
	// Lowers are the directories of the layers below, topmost first, as Overlay made them. They
	// give directories that the archive does not name their attributes, parents that are
	// symbolic links there their meaning, and hard links to files there a copy. Only with Overlay.
	Lowers []*os.File
	// UIDMap and GIDMap map the archive's ids; empty means as they are. An id outside is refused.
	UIDMap, GIDMap []IDMap
	// Unmapped, if set, owns entries whose user or group is outside of the maps, in ids of the disk; without it they
	// are refused.
	Unmapped *Owner
	// Owner, if set, replaces the owner of every entry, before the maps.
	Owner *Owner
	// Maker, if set, makes the files, before they get their owners: in a file system that was mounted in a
	// user namespace (a container's tmpfs), somebody whom it does not map can make none (EOVERFLOW).
	Maker *Owner
	// KeepOwner leaves every file to the caller's own ids. Set-id bits are dropped with it.
	KeepOwner bool
	// Devices makes character and block devices; without it they are left out and counted.
	Devices bool
	// SameKind refuses to replace a directory by something else, and the other way round, as
	// the Docker API's noOverwriteDirNonDir asks.
	SameKind bool
	// Mounts lets names lead into file systems that are mounted below the directory.
	Mounts bool
	Limits Limits
	// Digest computes Stats.Digest, of the stream as it came.
	Digest bool
	// Sync writes the file system back (syncfs) before Extract returns.
	Sync bool
}

// Limits of one archive. A zero field means the default, in brackets; -1 means none.
type Limits struct {
	// Bytes of the uncompressed stream [128 GiB].
	Bytes int64
	// Entries: headers of any kind [2,000,000].
	Entries int64
	// Ratio of uncompressed to compressed bytes, once more than 256 MiB have come out [1,100;
	// deflate cannot exceed 1,032].
	Ratio int64
	// FileSize is the size of one file, holes included [1 TiB].
	FileSize int64
	// Depth: directories above a name [1,024]. A path is at most 4,095 bytes in any case.
	Depth int
	// Window of a zstd frame in bytes [128 MiB, as zstd -d]. It is memory.
	Window int64
	// FreeBytes and FreeInodes must be left on the file system [32 MiB, 1,024]. Looked
	// at every 32 MiB and every 4,096 entries.
	FreeBytes, FreeInodes int64
}

// defaultWindow is Limits.Window's, in bytes.
const defaultWindow = 128 << 20

const none = 1<<63 - 1

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		v      *int64
		preset int64
	}{
		{&l.Bytes, 128 << 30}, {&l.Entries, 2_000_000}, {&l.Ratio, 1100}, {&l.FileSize, 1 << 40},
		{&l.Window, defaultWindow},
	} {
		switch {
		case *f.v == 0:
			*f.v = f.preset
		case *f.v < 0:
			*f.v = none
		}
	}
	switch { // here none is nothing to leave
	case l.FreeBytes == 0:
		l.FreeBytes = 32 << 20
	case l.FreeBytes < 0:
		l.FreeBytes = 0
	}
	switch {
	case l.FreeInodes == 0:
		l.FreeInodes = 1024
	case l.FreeInodes < 0:
		l.FreeInodes = 0
	}
	if l.Depth == 0 {
		l.Depth = 1024
	}
	if l.Depth < 0 {
		l.Depth = maxPath
	}
	return l
}

// Sum is a SHA-256.
type Sum [32]byte

// String is the digest in the form of the image specification: "sha256:…".
func (s Sum) String() string { return "sha256:" + hex.EncodeToString(s[:]) }

// Stats of one Extract; complete only when it returned no error.
type Stats struct {
	// Bytes is the length of the uncompressed stream, StreamBytes of the stream as it came.
	Bytes, StreamBytes int64
	// Data is what was written into regular files, Entries the headers read.
	Data, Entries int64
	// Size is what dockerd counts as a layer's size: lengths of regular files, holes included, hard links once, and
	// of symbolic links' targets.
	Size int64
	// By kind of entry.
	Files, Dirs, Symlinks, Links, Nodes, Whiteouts int64
	// Implied: directories needed by a name and given by no entry, and an opaque root, without Lowers. When it is not
	// 0 after an Overlay extraction without Lowers, extracting again with them gives what a
	// complete root file system would have: attributes, and links in place of directories.
	Implied int64
	// What was left out: extended attributes that are not kept, devices when not asked for, aufs's own files.
	DroppedXattrs, SkippedDevices, SkippedMeta int64
	// Root: an entry gives the root's attributes.
	Root bool
	// SetID: a file has a set-id bit or a capability, so no_new_privs would change what it does.
	SetID bool
	// DiffID is the digest of the uncompressed stream; Digest, with Options.Digest, of the stream as it came.
	DiffID, Digest Sum
	// Compression is "tar" (none), "gzip", "zstd", "bzip2" or "xz".
	Compression string
	// Caged: the files were made under Landlock.
	Caged bool
}

// refusal makes an error about one entry of the archive.
func refusal(class error, name, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", quote(name), fmt.Sprintf(format, args...), class)
}

// quote shows a name of the archive: quoted, and cut when it is long.
func quote(name string) string {
	if len(name) > 160 {
		return fmt.Sprintf("%q… (%d bytes)", name[:160], len(name))
	}
	return fmt.Sprintf("%q", name)
}
