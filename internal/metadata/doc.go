// Package metadata is the one database of hulld: what there is, who owns it, and what may go.
//
// # Layout
//
//	DIR/lock       held (flock) by the hulld that has the store open
//	DIR/meta.db    bbolt: the bucket "hull" (schema version) beside containerd's buckets
//	               (github.com/containerd/containerd/v2/core/metadata, buckets.go draws them)
//	DIR/content/   blobs/sha256/HEX, and ingest/ for those that are still being written
//
// Snapshots live where their snapshotter keeps them; the database holds their names, so that
// one mark and sweep covers blobs and snapshots.
//
// # Life of what is stored
//
// A blob or snapshot lives while an image name, a lease, or something that lives refers to it
// (containerd's labels "containerd.io/gc.ref.…"). Whoever makes one does so under a lease
// (Store.Lease): a process killed in between leaves a lease, which the next Open ends, unless
// it was made to outlive the process (KeepLease), as the lease of a broken pull is, whose
// bytes the next pull goes on from. Collection runs in the background after deletions, and
// once at start.
//
// # Errors
//
// Lock refuses a directory that another process has (errdefs.ErrUnavailable), Open a
// database with a newer schema (errdefs.ErrFailedPrecondition).
package metadata
