// Package registry speaks to image registries: the OCI distribution specification 1.1 and Docker's registry API v2.
//
// # Terms
//
//   - registry: what the domain of a reference names. Behind it are one or more hosts: mirrors in order, then the upstream
//     (type [Host]). Reading tries them in order; writing goes to the upstream.
//   - document: a manifest or an index (package manifest). blob: a layer or a config, by digest.
//   - challenge, realm, scope, token: RFC 7235 and Docker's token authentication. A registry answers 401 with a challenge
//     that names the realm, the URL where credentials are turned into a token for a scope.
//   - identity token: what a realm gives at login in the place of a password.
//
// # Life of a pull
//
//	client := registry.New(registry.Options{Hosts: registry.HostsDir("/etc/hull/certs.d"), Credentials: credentials})
//	doc, err := client.Fetch(ctx, ref)                          // once: the digest of what came is the image from here on
//	child, err := client.In(ref.Repository).FetchDocument(ctx, doc.Manifests[i])
//	blob, err := client.OpenBlob(ctx, ref.Repository, desc, registry.BlobOptions{Offset: have, Prefix: hashOfHave})
//	io.Copy(w, blob)                                            // an error unless size and digest are right
//
// and of a push: [Client.Push] walks a tree of documents that a [Source] holds.
//
// # Contract
//
// A registry is hostile (SECURITY.md R10, R11, R17, R27). Whatever it does, each call ends within the bounds of [Limits],
// holds at most a few megabytes, and gives what was asked for or one error; the next call works.
//
//   - Bytes: documents of at most 4 MiB, tokens of 64 KiB, headers of 64 KiB, error texts of 8 KiB; blobs stream, and never
//     more than the descriptor's size is read. Digest, size and media type are checked of everything that has them.
//   - Time: each request without a body has a time limit; a stream must go on at [Limits.MinRate] or is taken up again from where it
//     was, on the next host if need be. Failures that may pass (reset, 429, 5xx) are tried again a bounded number of times.
//   - Credentials go to the host that they are of, and to the realm that this host names over TLS; the first realm is the only
//     one. Never to the target of a redirect, to another upload location or to a mirror of another name. They are looked up only
//     when a registry asks, and stand in no error and in no log: a text of a registry that repeats one is redacted.
//   - TLS is verified. Plain HTTP is spoken to loopback addresses (which are asked for TLS first) and to hosts that a
//     configuration names with http://. Redirects never go from https to http, to link-local addresses, or from the
//     network to loopback, also not by a name that resolves so.
//   - Errors are of type [*Error], one sentence: what was done, to what, which host, why; with a class of errdefs.
//
// A [Client] may be used by many goroutines. It starts none that outlive the call, but for the idle connections of
// net/http, which [Client.CloseIdle] closes.
package registry
