package keel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/ociruntime"
	"golang.org/x/sys/unix"
)

func killCommand() command {
	return command{
		name: "kill", brief: "kill sends the specified signal (default: SIGTERM) to the container's init process",
		args: containerID + " [signal]", min: 1, max: 2,
		options: []option{{name: "all", short: "a", usage: "send the specified signal to all processes inside the container"}},
		run:     kill,
	}
}

func kill(r *ociruntime.Runtime, o options, args []string) (int, error) {
	name := "SIGTERM"
	if len(args) > 1 && args[1] != "" {
		name = args[1]
	}
	sig, err := parseSignal(name)
	if err != nil {
		return 0, err
	}
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	err = c.Kill(sig, o.is("all"))
	if o.is("all") && errors.Is(err, ociruntime.ErrNotRunning) {
		err = nil
	}
	return 0, err
}

// Real-time signals as the C library numbers them: the kernel's first two are its own.
const (
	rtmin = 34
	rtmax = 64
)

// parseSignal takes a number from 0 (only asks) to 64, or a name with or without SIG.
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > rtmax {
			return 0, fmt.Errorf("invalid signal %d: want 0 to %d", n, rtmax)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return n, nil
	}
	base, rest := rtmin, ""
	if after, ok := strings.CutPrefix(name, "RTMIN"); ok {
		rest = after
	} else if after, ok := strings.CutPrefix(name, "RTMAX"); ok {
		base, rest = rtmax, after
	} else {
		return 0, fmt.Errorf("unknown signal %q", s)
	}
	n := 0
	if rest != "" {
		var err error
		if n, err = strconv.Atoi(rest); err != nil || rest[0] != '+' && rest[0] != '-' {
			return 0, fmt.Errorf("unknown signal %q", s)
		}
	}
	if n += base; n < rtmin || n > rtmax {
		return 0, fmt.Errorf("unknown signal %q", s)
	}
	return unix.Signal(n), nil
}
