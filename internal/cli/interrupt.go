package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalled is why a context ended: a signal that asks the program to.
type signalled struct{ syscall.Signal }

func (s signalled) Error() string { return fmt.Sprintf("got signal %v", s.Signal) }

// interruptible is the program's context: SIGINT and SIGTERM end it, and the third of them ends
// the program whatever it does.
func interruptible() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	got := make(chan os.Signal, 3)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	go func() {
		for n := 1; ; n++ {
			s, ok := <-got
			if !ok {
				return
			}
			if n == 3 {
				fmt.Fprintln(os.Stderr, "\ngot 3 SIGTERM/SIGINTs, forcefully exiting")
				os.Exit(1)
			}
			cancel(signalled{s.(syscall.Signal)})
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		close(got)
		cancel(nil)
	}
}

// signalStatus is the exit status of a program that a signal ended: 128 and its number.
func signalStatus(ctx context.Context) int {
	var s signalled
	if errors.As(context.Cause(ctx), &s) {
		return 128 + int(s.Signal)
	}
	return 130
}
