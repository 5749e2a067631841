package seal

// openFiles is the limit RLIMIT_NOFILE that the program was executed with: soft, hard. [entry]
// writes it before the Go runtime starts, which raises the soft limit of its process (package
// syscall, go.dev/issue/46279) and tells the old one to nobody.
var openFiles [2]uint64

// OpenFiles is the soft limit RLIMIT_NOFILE that the program was executed with; 0 when that is
// not known, because the program was linked without [entry]. A process that is not made by
// package os gets it only from who knows it: the limit in force is Go's own.
func OpenFiles() uint64 { return openFiles[0] }
