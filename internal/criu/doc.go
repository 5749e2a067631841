// Package criu speaks the RPC protocol of CRIU, the program that writes the processes of a
// container to files and makes them again (criu(8), rpc.proto of criu 3.17). It starts nothing:
// the caller runs "criu swrk 3" with one end of a SOCK_SEQPACKET socket pair as descriptor 3 and
// gives the other end to [NewConn].
//
// # The protocol
//
// Each packet is one protocol buffer message. The client sends a request; criu answers with
// notifications, each of which it waits for an answer to, and then with the reply.
//
//	client                                criu swrk
//	  criu_req  VERSION, keep_open    ───►
//	                                  ◄─── criu_resp VERSION, version
//	  criu_req  DUMP, opts            ───►
//	                                  ◄─── criu_resp NOTIFY "pre-dump", pid
//	  criu_req  NOTIFY, notify_success───►
//	                                       …
//	                                  ◄─── criu_resp DUMP, success
//
// criu opens the descriptors that [Options] names (ImagesDir, WorkDir) through
// /proc/PID/fd of the process that made the socket pair. Those of [InheritFD] are criu's own.
//
// # Trust
//
// criu runs as root of the host. What comes back over the socket is bounded and checked like
// any input. Its log quotes names that a container chose: [LogErrors] makes them harmless to print.
package criu
