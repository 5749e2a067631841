// Package cli is the program hull: a thin client of the Docker Engine API. One file per verb or
// small family: options, call, output.
//
// Output, messages and exit codes are the docker CLI's: 0; 1 for an error, which stands on
// standard error; 125 for a wrong option, and for a container that could not be created or
// started; 126 and 127 when its command cannot be run or is not there; the container's own
// status; 128 and the number of the signal that ended hull. Progress is drawn in place on a
// terminal and printed as plain lines otherwise. test/cli compares all of it with docker's client,
// and the requests, field by field.
//
// # Where hull is not docker
//
// What only a swarm, Windows or Content Trust has is refused with a sentence. A daemon's
// certificate is always verified: --tls alone and skip-tls-verify are refused. Of an archive that
// a container sends, cp makes no devices, and nothing outside the destination (package unpack).
// What old daemons do not know of an option is an error, where docker sometimes leaves it out.
// pruneFilters of config.json count.
//
// # Which daemon
//
// In this order: --host (-H); --context (-c); $HULL_HOST, $DOCKER_HOST; $DOCKER_CONTEXT; the
// current context of Docker's config.json. When none says, it is hulld at /run/hull/hull.sock,
// and a hulld is started (the one beside hull, else the one in PATH) when nobody answers there;
// its log is named when it does not come up. A daemon that the user named is asked first which
// version of the API it speaks, 1.24 or newer.
//
// # A container in the foreground
//
//	create → attach (a stream that was HTTP) → wait → start → copy both ways → status
//
// The wait begins before the start, so no end is missed. Without a terminal the stream has frames
// (frames.go); with one, hull's own is raw until the stream ends, and follows in size. Signals go
// to the container.
//
// # Weight
//
// hull starts in a few milliseconds, so this package imports no Docker client; answers are
// decoded into the few fields that are shown. The API's own types serve the templates of inspect
// and info alone.
package cli
