// Package wire is the protocol between hulld and a container's shim: packets of a
// SOCK_SEQPACKET socket, which arrive whole or not at all.
//
//	 0        1       2       4          8
//	┌────────┬───────┬───────┬──────────┬──────────────────┐
//	│version │ kind  │ flags │ call     │ body             │   little endian; at most MaxPacket bytes
//	└────────┴───────┴───────┴──────────┴──────────────────┘
//
//	hulld                         shim
//	Create (call 1) ─────────────►      descriptors: the bodies that are long, root, user namespace
//	                ◄───────────── OK (call 1)   body: Info; descriptor: pidfd of init
//	Start (call 2)  ─────────────►
//	                ◄───────────── Event (call 0)  whenever something happens
//	                ◄───────────── OK or Fail (call 2)
//
// Replies come in any order. A body is a sequence of fields: numbers of a fixed size, and
// strings with a length of 4 bytes before them. Fields are only ever added at the end. Who
// reads a body that ends early reads zeros in place of what is missing, and who knows fewer fields
// leaves the rest, so a shim and a hulld of different versions understand each other; the
// version byte changes only when that cannot be kept up. What is too long for a packet (config.json)
// goes in a file in memory, whose descriptor comes with the packet; [FlagFile] says so.
//
// A stream socket, of an attached client, has no such packets: see [Frame].
package wire
