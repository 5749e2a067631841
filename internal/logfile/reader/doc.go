// Package reader reads what package logfile has written, while it is being written and rotated,
// and compresses what was rotated. It is hulld's.
//
// # How it follows
//
// A log is a chain of files. The reader has one of them open and knows the place behind the last
// whole entry. At its end it looks whether the writer has begun a next one; if so it reads on once
// more, since the writer may have written between, and goes to the next. So no entry is lost or
// read twice, however often the log is rotated, unless the reader is so slow that a file is
// deleted before its turn. Half an entry at the end is not an entry yet.
//
//	local       files have numbers: the next one of n is n+1
//	json-file   files are renamed: the next one of a file is the one before it in the list of
//	            names, which is looked at under the lock of [logfile.Lock]
//
// What cannot be parsed (a power loss, somebody's editor) is skipped up to where entries begin
// again; entries and lines have a greatest length.
package reader
