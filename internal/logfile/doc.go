// Package logfile writes what a container prints.
//
// It is linked into keel, whose shim calls it, so it is light: no network package, no JSON
// package. What reads the files, and what compresses rotated ones, is package logfile/reader,
// in hulld.
//
// # Terms
//
//   - entry: a line, or a piece of one that is longer than 16 KiB, as Docker's copier cuts it.
//   - writer: takes bytes of one stream, cuts them into entries and hands these to a driver.
//   - driver: json-file, local, journald, syslog, none.
//   - segment: one file of the local driver; numbered upwards, never renamed.
//
// A writer never returns an error to who feeds it: a container does not stop because a disk is
// full. What could not be written is counted ([Writer.Lost]) and the first reason is kept.
package logfile
