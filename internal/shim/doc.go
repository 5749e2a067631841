// Package shim is what hulld and a container's supervisor say to each other, and hulld's end
// of it. The supervisor, verb `keel shim`, is package shim/serve.
//
// # Terms
//
//   - shim: one process for each container, parent of its init and of its exec processes. It has
//     their standard input and output, writes the log, and records how init ended.
//   - launcher: starts shims, finds those that outlived hulld, cleans up after those that died.
//   - stream: one attached client's end of a process's input and output.
//   - exit record: STATE/containers/ID/exit.json, written (renamed into place) before anybody is told.
//
// # Life of a shim
//
//	Launcher.Create ─► process, container created ─► Shim.Start ─► running ─► init ends
//	                                                                            │ exit record on disk
//	                                                                            │ exec processes told, output drained (2 s at most)
//	                                                                            │ EventExit to every connection
//	                                                                            │ cgroup and runtime's state removed
//	                                                                            ▼
//	                                                                     the process ends: Shim.Done
//
// A shim needs no hulld: it is in a session of its own, and what it has to tell is on disk. After a
// restart [Launcher.Connect] finds it by its socket, or returns a *[GoneError] with the exit
// record. When a shim was killed, the container is still there, without input, output and log:
// [Launcher.Sweep] ends it and takes away what is left.
//
// # Files
//
//	STATE/containers/ID/       0700, made by Create, removed by Forget
//	    config.json            what the container was made from, with another runtime; our own has a copy in its state
//	    shim.pid               pid and start time of the shim, its runtime's command line
//	    shim.sock              0600; peers of another user than the shim's are refused
//	    shim.err               what the shim printed when it ended by a mistake of its own; else empty
//	    exit.json              the exit record
//	    rootfs                 with another runtime: where the root is mounted, in the shim's own mount namespace
//	STATE/keel/ID/             the runtime's state (package ociruntime)
//
// # Deadlines
//
// Every call takes a context; one without a deadline gets [DefaultTimeout]. A shim that is
// stopped (SIGSTOP) or hangs delays only calls to itself: they end with an error that
// errors.Is(err, context.DeadlineExceeded) is true of.
package shim
