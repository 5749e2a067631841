// Package cli is the program hull: a thin client of the Docker Engine API. One file per verb or
// small family: options, call, output.
//
// Output, messages and exit codes are the docker CLI's: 0; 1 for an error, which stands on
// standard error; 125 for wrong usage. Progress is drawn in place on a terminal and printed as
// plain lines otherwise.
//
// # Which hulld
//
// --host (-H) or $HULL_HOST names the socket, unix:///PATH. When neither does, it is
// /run/hull/hull.sock, and a hulld is started (the one beside hull, else the one in PATH) when
// nobody answers there; its log is named when it does not come up.
//
// # Weight
//
// hull starts in a few milliseconds, so this package imports no Docker client and no types of
// one; answers are decoded into the few fields that are shown.
package cli
