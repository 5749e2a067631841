// Package spec turns what a user asked of a container into the OCI runtime configuration, with
// Hull's default hardening (SECURITY.md part 2c).
//
// # Life of a request
//
//	warnings, err := spec.Validate(config, host, facts, spec.Create) // Docker's refusals, Docker's texts; fills in defaults
//	devices, err := spec.ResolveDevices(host)                        // the only look at the host
//	s, more, err := spec.Build(spec.Input{…})                        // pure: the same input gives the same document
//
// Build reads no file, asks the kernel nothing and knows no clock. What it needs of the host is in
// Facts (ReadFacts reads them once), what it needs of other containers in Namespaces, what it
// needs of the image's files (users, groups) is in numbers already. So every decision of the
// hardening can be tested as text, and is: testdata has the documents of 60 option sets beside
// those that dockerd 20.10 wrote for the same request.
//
// # Terms
//
//   - config, host: container.Config and container.HostConfig of the Docker API, the first merged
//     with the image's.
//   - profile: one word for the hardening. "default" is Hull's, "compat" is Docker's own, "strict"
//     is Kubernetes' restricted with a read-only root.
//   - mapped: the container has a user namespace of its own with a range of the host's ids.
//
// # Where a document differs from Docker's
//
// testdata/differences.txt lists each difference with its reason; a test holds the list to what is
// the case, both ways.
//
// # Errors
//
// Errors of Validate and Build that the user can do something about are of the class
// errdefs.ErrInvalidArgument, and have Docker's text where Docker has one.
package spec
