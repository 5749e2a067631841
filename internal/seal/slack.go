package seal

import "golang.org/x/sys/unix"

// timerSlack is the timer slack, in nanoseconds, that the program was executed with
// (PR_SET_TIMERSLACK(2const)). [entry] writes it and sets 5 ms in its place, which the threads of
// the Go runtime inherit. Its monitor sleeps for 20 µs at a time while the program is busy; in a run
// of 4 ms it woke 60 times, which cost a tenth of the run. With the slack it wakes with other timers.
var timerSlack uint64

// TimerSlack gives the calling thread the timer slack that the program was executed with, and
// returns it in nanoseconds; 0 when [entry] has changed nothing. What the thread starts afterwards
// inherits it, so who makes a process calls this first: a container must not sleep late.
func TimerSlack() uint64 {
	if timerSlack != 0 {
		unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0, 0)
	}
	return timerSlack
}
