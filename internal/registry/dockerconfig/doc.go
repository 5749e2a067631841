// Package dockerconfig keeps credentials where Docker's CLI keeps them: config.json and credential helpers.
//
// # Terms
//
//   - key: what Docker files a registry's credentials under: its host, or https://index.docker.io/v1/ for docker.io. Older
//     files have keys with a scheme and a path, which mean the host too.
//   - helper: a program docker-credential-NAME that speaks the protocol of docker-credential-helpers: an action as its
//     argument (get, store, erase), the key or a document on standard input, a document on standard output.
//
// # Contract
//
// The file is small, regular, and not a device ([Open] refuses others). What it says beyond credentials is kept when it is
// written, which is done by rename, mode 0600. The helper for one registry (credHelpers) comes before the store for all
// (credsStore), and that before the file's own auths; a store that fails is an error and never "no credentials"
// (CVE-2021-41092).
//
// A helper runs with a bounded time and output, in a process group of its own that is ended as a whole, with an environment
// of chosen variables. Its name is of letters, digits, '-' and '_', it is found in PATH, and its file must belong to root or
// to the user and be writable by nobody else (CVE-2019-15752 was a helper in a directory that anybody could write).
//
// No error holds a credential: not a helper's output, not a line of the file.
package dockerconfig
