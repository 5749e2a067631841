// Package sigpipe turns signals into bytes of a pipe, for a program whose whole run takes a
// few milliseconds.
//
// os/signal does the same with a locked thread, two goroutines and some ten thread switches a
// signal: 1 ms of a run of 5 ms. Here a signal costs one rt_sigaction(2) to ask for, and the
// handler, ten instructions, writes its number into the pipe. It runs on the alternate stack
// that the Go runtime gives each thread and touches nothing of Go's.
//
//	fd, err := sigpipe.Open(unix.SIGTERM, unix.SIGINT)
//	poll(fd, …); n := read(fd, buf) // each byte is a signal's number, in order of arrival
//
// A program uses either this package or os/signal, for all signals.
package sigpipe

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open makes the signals come as bytes from the returned descriptor, which does not block and
// is closed on exec. It stays open as long as the program; a second call asks for further signals.
// A full pipe (64 KiB of signals that nobody reads) loses what comes next.
func Open(signals ...unix.Signal) (int, error) {
	if readEnd < 0 {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			return -1, os.NewSyscallError("make the pipe of signals: pipe2", err)
		}
		readEnd, writeEnd = p[0], int32(p[1])
	}
	for _, s := range signals {
		if err := catch(s); err != nil {
			return -1, fmt.Errorf("catch signal %d: %w", s, err)
		}
	}
	return readEnd, nil
}

var readEnd = -1

//lint:ignore U1000 read by the handler, which is assembly
var writeEnd int32 = -1
