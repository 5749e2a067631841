// Package ocispec reads, checks and writes the JSON documents of the OCI runtime specification (version 1.3) for a
// runtime that starts in a millisecond: no reflection, no encoding/json.
//
// # Terms
//
//   - config.json: the bundle's configuration, decoded into [Config], which is specs.Spec and what Spec does not hold.
//   - process.json: what `keel exec --process` takes: specs.Process alone.
//   - resources.json: what `keel update --resources` takes: specs.LinuxResources alone.
//   - state: specs.State, what hooks read on their stdin.
//   - head of seccomp: what starting a container needs of linux.seccomp besides the compiled filter: [SeccompHead].
//
// # Life cycle
//
//	b, err := ocispec.ReadFile(bundle, "config.json") // bundle: a directory's descriptor
//	c, err := ocispec.Decode(b)                       // syntax and types
//	warnings, err := ocispec.Validate(c)              // meaning: what no host could run
//	if c.SeccompRaw != nil && !compiledBefore(c.SeccompRaw) {
//		profile, err = ocispec.DecodeSeccomp(c.SeccompRaw)
//	}
//
// Errors are one sentence that begins with the field and does not name the file; the caller does:
//
//	config.json: process.user.uid: want an unsigned 32-bit integer, found string "x"
//	config.json: line 3, column 14: want a comma or } after a member
//
// [Decode] converts its input to a string once; the strings of the result share its memory.
//
// # How it differs from encoding/json
//
// The decoders are generated from the specs-go types (go generate) and give the same values as encoding/json, which a
// fuzz target holds. They refuse more:
//
//   - a member that is there twice in an object, known or unknown: two readers of such a document would not agree;
//   - a member whose name is that of a known one but for upper and lower case: encoding/json takes it for the known
//     one, the specification and other runtimes for an unknown one. Nothing security relevant is silently ignored;
//   - more than 64 levels of nesting, and documents that would take more than 32 MiB beside their text;
//   - null in place of the document.
//
// They leave out: linux.seccomp, whose exact bytes are kept, checked as JSON only (a profile is 15 KB and is usually
// compiled already, under the digest of these bytes); and the sections of other platforms (solaris, windows, vm, zos,
// freebsd), which are checked as JSON only and named in [Config.OtherPlatforms].
//
// Unknown members are checked as JSON and ignored, as the specification demands (config.md, Extensibility).
//
// # What Validate leaves to others
//
// Whatever needs the host (do files exist, is a joined network namespace the host's, are the maps of a joined user
// namespace the ones in the configuration), linux.resources and linux.cgroupsPath (package cgroup), and linux.seccomp
// but for its head (package seccomp).
package ocispec

//go:generate go run ./gen -o decode_gen.go
