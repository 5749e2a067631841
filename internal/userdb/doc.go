// Package userdb answers who a user is in a container, from the container's own /etc/passwd and /etc/group, which are
// hostile (SECURITY.md R7, R10).
//
// # Terms
//
//   - root: a descriptor of the container's root directory (O_PATH will do).
//   - user spec: what an image or a command line says, as "www-data", "33", "www-data:adm", "33:4".
//   - number: a string of the digits 0 to 9 alone. It is an id and is never looked up as a name: an image with a line
//     "1000:x:0:0" does not turn USER 1000 into root (CVE-2016-3697).
//
// # Rules
//
// Ids are from 0 to 4294967294; 4294967295 means none to the kernel, and greater ones would wrap around (CVE-2024-40635).
// A user spec is stricter, see [LookupUserSpec].
//
// The files are opened below the root without leaving it, neither by .. nor by symbolic links; they must be regular
// files of at most 16 MiB with lines of at most 1 MiB, and are read as a stream that ends with the answer. A FIFO, a
// device, a sparse file of 10 GB are errors within a millisecond, and no device is opened to find that out
// (CVE-2026-47262, CVE-2024-9676). A file that is not there is an empty one; a symbolic link to nothing is an error.
//
// Lines that are no entry (too few fields, a uid that is no number, comments) match nobody; where a name is looked
// up and its own line is broken, that is an error, not uid 0. The first entry that matches counts.
//
//	u, err := userdb.LookupUserSpec(root, image.User) // engine: u.UID, u.GID, u.Groups
//	home, err := userdb.HomeFor(root, uid)            // runtime: HOME, if process.env has none
//	n, err := userdb.ParseNumericUser("1000:100")     // keel exec --user
package userdb
