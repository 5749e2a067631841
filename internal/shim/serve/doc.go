// Package serve is a container's supervisor, the verb `keel shim`. Package shim says what it does
// for hulld, package wire how they speak.
//
// # How it works
//
// One goroutine, the loop, has everything: descriptors, clients, the container's state. It waits in
// epoll_wait(2) and never waits anywhere else. What may take long (exec, start, pause, delete: all
// that package ociruntime does) is done by a goroutine for each call ([server.work]), which touches
// nothing of the loop's and hands it a function to go on with.
//
// Children are waited for by the loop alone. While a call is at work its own children (hooks, a
// container's init that fails) are none of the loop's business, so it waits for those it knows by
// their pids, and for everybody's orphans only when no call is at work.
//
// # What is not here
//
// No buffers for clients: what an attached client has not read yet is in its socket, in the
// kernel; of a patient client (wire.AttachBody.Patience) one packet may wait here. No heap to speak
// of: after each call the memory is given back ([server.settle]).
package serve
