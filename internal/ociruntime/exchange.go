package ociruntime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

func pipe() (read, write int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("make a pipe: %w", err)
	}
	return p[0], p[1], nil
}

// maxOutput is how much of a hook's output is kept for the error message, in bytes.
const maxOutput = 64 << 10

// exchange feeds a process its input and reads its output until it ends. A hook need not read
// its input, and what it leaves running in the background may keep both pipes open for ever:
// only the end of the process counts.
type exchange struct {
	pidfd, feed, output int // feed is closed after the input, so that a reader sees its end
	input               []byte
	kept                []byte // of the output, at most maxOutput
	deadline            time.Time
	late                bool // killed because the deadline passed
}

func (x *exchange) serve() error {
	unix.SetNonblock(x.feed, true)
	unix.SetNonblock(x.output, true)
	fds := []unix.PollFd{{Fd: int32(x.pidfd), Events: unix.POLLIN}, {Fd: int32(x.output), Events: unix.POLLIN}, {Fd: int32(x.feed), Events: unix.POLLOUT}}
	for {
		timeout := -1
		if !x.deadline.IsZero() && !x.late {
			timeout = max(0, int(time.Until(x.deadline).Milliseconds()))
		}
		n, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			unix.PidfdSendSignal(x.pidfd, unix.SIGKILL, nil, 0)
			return fmt.Errorf("wait for the hook: %w", err)
		case n == 0:
			x.late = true
			unix.PidfdSendSignal(x.pidfd, unix.SIGKILL, nil, 0)
		}
		ended := fds[0].Revents != 0
		if fds[2].Revents != 0 && !x.write() {
			x.endInput()
			fds[2].Fd = -1
		}
		if (fds[1].Revents != 0 || ended) && !x.read() {
			fds[1].Fd = -1
		}
		if ended {
			return nil
		}
	}
}

func (x *exchange) endInput() {
	if x.feed >= 0 {
		unix.Close(x.feed)
		x.feed = -1
	}
}

// write feeds input; false when there is no more to do.
func (x *exchange) write() bool {
	n, err := unix.Write(x.feed, x.input)
	if n > 0 {
		x.input = x.input[n:]
	}
	return len(x.input) > 0 && (err == nil || err == unix.EAGAIN || err == unix.EINTR)
}

// read takes what there is of the output, once around the pipe and not for ever; false when
// all writers are gone.
func (x *exchange) read() bool {
	buf := make([]byte, 4096)
	for range maxOutput / len(buf) {
		n, err := unix.Read(x.output, buf)
		if n <= 0 {
			return err == unix.EAGAIN || err == unix.EINTR
		}
		x.kept = append(x.kept, buf[:min(n, maxOutput-len(x.kept))]...)
	}
	return true
}
