// Package engine is the life of containers: the one place where images, root file systems,
// networks, volumes and shims meet. Whoever speaks to it (the Docker API in package server, CRI)
// only decodes and encodes.
//
// # Terms
//
//   - container: a configuration, a writable layer, a log, and a phase. It is there from Create to
//     Remove, over restarts of hulld and of the host.
//   - phase: created, running, paused, restarting, exited, removing, dead. One table says what may
//     follow what (phase.go).
//   - view: an immutable picture of a container ([View]). Whoever lists or inspects reads the newest one
//     and waits for nobody, also when the container's shim is stuck.
//   - turn: one step of one container. Turns of a container come one after the other, in the order
//     asked; those of different containers know nothing of each other.
//   - record: what is on disk of a container (record.go).
//
// # One actor per container
//
// Everything that changes a container is a turn in its mailbox. There is a goroutine while turns are
// due, and none for an idle container. A turn never waits for the container's processes: Stop sends a
// signal in one turn, waits for the exit outside, and kills in another; so that a kill or a forced
// removal comes between. What waits for a turn longer than [busyTime] gets an error that says what the
// container is doing.
//
// # Life
//
//	created ──Start──► running ⇄ paused
//	                     │ init ends
//	                     ├──► restarting ──back-off──► running     (restart policy)
//	                     └──► exited ──Start──► running
//	any but running ──Remove──► removing ──► gone, or dead when it could not be removed
//
// # What a crash leaves
//
// A container's directory is the record of itself: one without a valid record is swept at Open, as is
// what the state directory has of containers that are not there. Between a shim's start and the record
// of it nothing is lost: Open asks every shim, all at once, and what they say counts. A shim whose
// container was never started is ended. Nothing on the way of create, start, stop and remove waits for
// the disk: a record that a power loss tore is recognised by its checksum, and swept with a line in the
// log. Records that must survive (all but those of --rm) are synced in the background.
//
// # Locks
//
// index.mu (names, ids) and a container's mail.mu are leaves: nothing is called with one held.
package engine
