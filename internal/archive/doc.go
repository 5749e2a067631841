// Package archive copies files into and out of containers as tar streams: `docker cp`, `docker
// export`, and the archive part of the Docker API.
//
//	v, err := archive.Running(pidfd, pid, ids)      // or
//	v, err := archive.Stopped(root, mounts)
//	defer v.Close()
//	st, err := v.Stat("/etc/os-release")
//	st, err = v.CopyOut(ctx, "/etc/os-release", w)
//	err = v.CopyIn(ctx, "/tmp", r, archive.CopyInOptions{})
//
// # A hostile container
//
// A container may change its files while they are copied. Nothing here is reached by a path string:
// the root is a descriptor, taken from the running init's /proc/PID/root, or of a mount that is
// attached nowhere; a path is resolved once below it, as if it were the root directory and without
// magic links (openat2(2), RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS), and what was found is a descriptor from then on
// (CVE-2018-15664, CVE-2019-10152, CVE-2026-42306). Archives are read by package unpack, in this process: no
// program is started, and no library comes from the container (CVE-2014-9357, CVE-2019-14271).
//
// # Ids
//
// A running container in a user namespace shows its files with the host's ids to this process;
// archives have those that the container sees. A stopped one's root is mounted without a mapping, and
// has those already.
//
// # Errors
//
// NotFound: nothing is at the path. InvalidArgument: it cannot be copied there (not a directory,
// read-only, an archive that is refused).
package archive
