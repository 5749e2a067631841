package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const startTime = 15 * time.Second // for a hulld to answer

// inUse is hulld's exit status when another one has its data root.
const inUse = 3

// logFile is where a hulld with the default directories writes.
const logFile = "/run/hull/hulld.log"

// startDaemon starts a hulld of its own session and waits until it answers.
func startDaemon(ctx context.Context, socket string) (net.Conn, error) {
	program, err := findDaemon()
	if err != nil {
		return nil, fmt.Errorf("cannot connect to hulld at %s, and it cannot be started: %w", socket, err)
	}
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives hull and its terminal
	said := &head{max: 4096}
	cmd.Stderr = nil
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("starting hulld: %w", err)
	}
	go said.copy(r)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(startTime)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "unix", socket); err == nil {
			return conn, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == inUse {
				continue // another hull started one at the same moment, which will answer
			}
			return nil, fmt.Errorf("hulld did not start: %s (its log is %s)", said.text(), logFile)
		case <-deadline:
			return nil, fmt.Errorf("hulld does not answer after %v; its log is %s", startTime, logFile)
		}
	}
}

// findDaemon is the hulld beside hull, else the one in PATH.
func findDaemon() (string, error) {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), "hulld")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath("hulld")
	if err != nil {
		return "", errors.New("there is no hulld beside hull or in PATH")
	}
	return path, nil
}
