// Package server is hulld's Docker Engine API: routes, codecs, streams. It decides nothing about
// images; it decodes a request, calls what Images has for it, and encodes the answer.
//
// # Versions
//
// Paths are /vX.Y/… or without a version, which means the newest. MinVersion to MaxVersion are
// served. Answers follow the version where Docker's did: fields that later versions dropped are
// there for the versions that had them (function since).
//
// # Errors
//
// An error is {"message": …} with a status from one table (errors.go), as long as nothing else
// was sent; in a progress stream it is the last line, with "error" and "errorDetail".
//
// # Streams
//
// Progress is one JSON object a line, flushed each; events too. A client that goes away ends
// what it asked for (the request's context).
//
// Beyond Docker's API there is POST /hull/check?repair=BOOL: hull system fsck.
//
// What of Docker's API is not there answers 501 and says so; paths that Docker does not know
// either answer 404.
package server
