// Package build builds images from Dockerfiles: BuildKit's solver, Dockerfile frontend and session
// protocol (github.com/moby/buildkit), with a worker of Hull's own. Files, layers and images are in the
// one store of hulld; each RUN is a container of Hull's runtime.
//
// # Terms
//
//   - builder: all of it. It is opened by the first build, prune or session, and stays open.
//   - solver: BuildKit's part, which decides what is to be run.
//   - instruction: what a RUN of a Dockerfile becomes: a container without a record in the engine.
//   - session: a client's connection that the solver asks for files, secrets and credentials.
//   - context: the files that a build may copy from.
//
// # Files
//
//	DATA-ROOT/build/           0700
//	  workerid                 of the worker
//	  metadata_v2.db           BuildKit's: what each cached result is
//	  cache.db                 BuildKit's: which instruction gave which result
//	  history.db               BuildKit's: earlier builds
//	  mounts/                  where results are mounted while somebody copies from or to them
//	STATE-DIR/containers/build-ID/   of a running instruction, as of any container (package shim)
//	STATE-DIR/build/ID/        its files under /etc
//
// Results are snapshots and blobs of package metadata's store, each kept by a lease with the name of
// BuildKit's record. Leases that BuildKit marks as temporary end with the process.
//
// # What a crash leaves
//
// Containers of instructions, their files, and mounts of results: Sweep, at hulld's start, takes them
// away, whether or not there will be a build.
//
// # Trust
//
// A Dockerfile and its context are hostile, and so is what they run (SECURITY.md, builder). Names and
// ids that a client or frontend chooses are never part of a path here: containers of instructions have
// names of this package's own making.
package build
