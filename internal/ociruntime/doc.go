// Package ociruntime turns an OCI bundle into a container: config.json becomes a launch
// plan (package launch), the plan becomes a process.
//
// The parent decides and prepares (state directory, cgroups, detached clones of the root
// and of bind sources, the compiled seccomp program); the child executes the plan in its
// new namespaces. Every path that the root file system can influence is resolved by the
// child with openat2(RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS) below the descriptor of the
// root mount, and mounted by descriptor on both ends (SECURITY.md R1).
package ociruntime
