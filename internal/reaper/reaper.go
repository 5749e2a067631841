// Package reaper is the init of a container whose program was not written to be one (docker run
// --init): it starts the program, passes signals on to it, takes the exit status of every process
// that lost its parent, and ends as the program ended.
//
//	/sbin/docker-init -- PROGRAM [ARGUMENT…]
//
// The program gets a process group of its own, in the foreground of the terminal if there is one. The
// exit status is the program's, 128+N when signal N ended it, 127 or 126 when it cannot be executed.
// What still runs when it has ended is ended by the kernel, with its pid namespace.
package reaper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main runs the program that args name. It returns the exit status.
func Main(args []string) int {
	debug.SetGCPercent(-1) // nothing is allocated after the start
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "docker-init: no program to run")
		return 1
	}
	// Before the start: what comes from now on is for the program.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	pid, err := start(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "docker-init: exec %s failed: %v\n", args[0], err)
		if errors.Is(err, fs.ErrPermission) {
			return 126
		}
		return 127
	}
	go forward(signals, pid)
	return reap(pid)
}

func start(args []string) (pid int, err error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 0, errors.Unwrap(err)
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		attr.Foreground = true
	}
	return syscall.ForkExec(path, args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr})
}

// forward passes signals on. SIGURG is what the Go runtime sends itself, SIGCHLD is reap's, and the
// terminal's stops are not for an init.
func forward(signals <-chan os.Signal, pid int) {
	for s := range signals {
		switch sig := s.(syscall.Signal); sig {
		case unix.SIGCHLD, unix.SIGURG, unix.SIGTTIN, unix.SIGTTOU:
		default:
			_ = unix.Kill(pid, sig) // it may have ended just now
		}
	}
}

// reap takes exit statuses until the program's comes.
func reap(pid int) int {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintf(os.Stderr, "docker-init: waiting: %v\n", err)
			return 1
		case got != pid:
		case status.Exited():
			return status.ExitStatus()
		case status.Signaled():
			return 128 + int(status.Signal())
		}
	}
}
