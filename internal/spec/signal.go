package spec

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal's name, with or without SIG, in any case, or its number, as Docker does.
func ParseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > maxSignal {
			return 0, invalid("Invalid signal: " + s)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return n, nil
	}
	for _, rt := range []struct {
		from   string
		number int
		sign   int
	}{{"RTMIN", 34, 1}, {"RTMAX", maxSignal, -1}} {
		rest, ok := strings.CutPrefix(name, rt.from)
		if !ok {
			continue
		}
		if rest == "" {
			return unix.Signal(rt.number), nil
		}
		n, err := strconv.Atoi(rest)
		if err == nil && n*rt.sign > 0 && n*rt.sign <= 15 {
			return unix.Signal(rt.number + n), nil
		}
	}
	return 0, invalid(fmt.Sprintf("Invalid signal: %s", s))
}

// maxSignal is the highest real-time signal.
const maxSignal = 64
