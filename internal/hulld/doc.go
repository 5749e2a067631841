// Package hulld puts the daemon together: configuration, log, store, registry client,
// unpacker, API server; and takes it apart again. It holds no logic of images.
//
// # Files
//
//	DATA-ROOT/           0700; one hulld at a time (metadata's lock)
//	  id                 of this data root, for /info
//	  meta/              package metadata: database and blobs
//	  snapshots/DRIVER/  package snapshot
//	STATE-DIR/           0700; gone after a reboot
//	  hull.sock          0600, the API
//	  hulld.log          unless --log-file says otherwise; "-" is standard error
//
// # Life
//
// Start: the log, the lock of the data root, snapshots (which sweep what a crash left),
// metadata (which ends old leases and collects), then the socket. A socket that somebody
// answers on is not taken over. SIGTERM or SIGINT: no new requests, what runs is cancelled and
// waited for, the store is closed, the socket removed, exit status 0. What kill -9 leaves, the
// next start sweeps.
package hulld
