// Package snapshot keeps layers and makes root file systems of them: snapshotters behind
// containerd's core/snapshots.Snapshotter, for use as a library inside hulld.
//
// A snapshot is active (made by Prepare, writable), a view (made by View, read-only) or
// committed (made by Commit of an active one; can be a parent). Three drivers:
//
//	overlay  a directory for each layer; an overlayfs mount of them
//	erofs    an EROFS image (one file) for each committed layer, mounted from the file by the
//	         kernel (Linux 6.12 and newer), overlayfs above them with a writable directory
//	native   a full copy for each snapshot, by reflink where the file system can
//
// Probe tries each on a directory and says why one cannot be used; Choose picks: the one asked
// for, else the one whose store is there already, else the first that works.
//
//	sn, err := snapshot.Open(snapshot.Config{Root: root, Driver: snapshot.Overlay, Log: log})
//	err = sn.Create(ctx, snapshots.KindActive, key, chainID)
//	root, err := sn.Mount(ctx, key, snapshot.MountOptions{})   // a detached mount
//
// Prepare, View and Mounts return containerd's mount descriptions, for others (BuildKit, CRI
// clients). Hull itself uses Create and Mount: mounts by descriptor, any depth up to the kernel's
// limit of 500 layers, nothing in the mount table, and id-mapped layers for a container in a user
// namespace (MountOptions.UserNS): files in the upper directory then have the ids that the
// container sees, so that a commit needs no translation.
//
// # On disk
//
//	ROOT/                0700
//	  driver             "overlay 1\n": which driver's store, format version
//	  metadata.db        bbolt, by containerd's core/snapshots/storage: names, parents, ids
//	  snapshots/ID/      of the snapshot with this number
//	    fs/              its own files: overlay's upperdir; native's whole tree
//	    work/            overlay's workdir; active ones only
//	    layer.erofs      erofs: the committed layer
//	  snapshots/new-ID/  being made
//	  trash/             being deleted
//	  mnt/               mount points for a moment, before Linux 6.15; empty otherwise
//
// Names and keys are any strings of up to 4096 bytes; they are never part of a path.
//
// # What a crash leaves
//
// Owner first: the record of a snapshot is durable before its directory is made, and gone before
// it is deleted, so whatever has no record is garbage. Commit is durable: files, then syncfs(2),
// then the record; a committed layer never has files without their bytes. Open sweeps: it
// finishes an interrupted Prepare, deletes what has no record, and forgets mounts. Check compares
// store and disk at any time.
//
// Deletion is in the background: Remove renames into the trash. Cleanup waits for it.
//
// # Concurrency
//
// All methods may be called at once. Lock order: busy (shared by operations, exclusive for
// Check), then the locks of keys in byte order, then bbolt's writer, then a driver's own lock.
//
// # Trust
//
// The bytes in layers are hostile, the store's directories are not, but are not trusted further
// than needed: every directory is opened by descriptor from ROOT without following links
// (SECURITY.md R1), trees are walked by descriptor, at any depth, with a bounded number of them.
package snapshot
