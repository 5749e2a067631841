// Package manifest reads the documents that describe images: manifests and indexes of OCI and of Docker (schema 2), and
// image configs. They come from registries and archives and are hostile (SECURITY.md R10, R11).
//
// # Terms
//
//   - document: a manifest or an index, with the media type that it was served as.
//   - descriptor: media type, digest and size of something else. The three travel together: whoever follows a descriptor
//     gets what has that digest and that size, and reads it as that media type, or an error.
//   - config: the JSON document of an image that a manifest's config descriptor points to.
//
// # Contract
//
// A [Document] that [Parse] returned is one that every parser reads alike: valid UTF-8, no key twice in one object, no key
// that differs from another or from a known field only in case (Go's encoding/json would take it, others would not), at
// most [MaxDepth] levels, nothing after the document; at most [MaxSize] bytes, [MaxLayers] layers, [MaxManifests]
// manifests. It is a manifest or an index, never both (CVE-2021-41190), and the media type inside, if there is one, is the
// one it was served as. Each descriptor has a digest in canonical form, a size of zero or more and a plausible media type,
// and one digest does not stand for two sizes within a document, nor, but for a config's, for two media types.
//
// The bytes are kept as they came ([Document.Raw]): they are what the digest is of.
//
// Errors are of the class errdefs.ErrInvalidArgument.
package manifest
