// Package image is the store of images: names to digests, blobs, and unpacked layers, and what
// can be done with them (pull, push, load, save, import, tag, remove, prune).
//
// # Terms
//
//   - name: a tag (docker.io/library/alpine:latest), a repository with a digest, or, for an
//     image that lost its last tag, "dangling@" and a digest. A name points to a target.
//   - target: the digest of a manifest, or of an index that is kept whole with those of its
//     manifests whose platforms were asked for.
//   - image: what a person sees. Its ID is the digest of its config; targets whose pick for
//     this host's platform has the same config are one image with several names.
//   - diffID, chainID: of one layer's plain tar, and of the stack up to a layer
//     (image-spec, config.md). A snapshot is named by its chainID.
//
// # Life of a pull
//
// The document of the reference is fetched, the platform picked, the config read. Then the
// layers come in at the same time, each as one stream: the bytes go into the content store
// (which takes their digest) and at once through the unpacker into a new snapshot (whose
// diffID is compared); the network is read a little ahead of the unpacker (intake). A snapshot is
// committed when the one below it is. Last come the
// documents, which refer to all of this, and the name. Before the name is set nothing of a
// pull can be seen; a pull that breaks leaves its bytes under a lease, and the next pull of
// the same name goes on from there.
//
// A load is the same, but that the documents come last: large files of the archive are unpacked
// while they come in (freshLayers), before it is known that they are layers.
//
// # Push
//
// Blobs leave as they are in the store. Plain layers do not: their gzip form is made once, stays with
// the layer (labelPacked), and goes out in a manifest of its own, which is the one that the
// repository's digest names. The image, whose config names plain layers, is the same.
//
// # Errors
//
// Errors are of the classes of containerd/errdefs, and their texts are Docker's where Docker
// has one.
//
// # Locks
//
// Store.names (changes of names) is taken before nothing else; locks of single digests
// (keyed) are never held while waiting for another layer.
package image
