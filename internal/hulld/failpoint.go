package hulld

import (
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// failpoint is for tests: the environment variable HULL_FAILPOINT=POINT:N kills the process, as
// kill -9 does, when it comes to that point for the Nth time (from 1). Whoever can set hulld's
// environment can kill it anyway.
func failpoint(setting string) func(point string) {
	name, count, _ := strings.Cut(setting, ":")
	if name == "" {
		return nil
	}
	left := new(atomic.Int64)
	left.Store(1)
	if len(count) == 1 && count[0] >= '1' && count[0] <= '9' {
		left.Store(int64(count[0] - '0'))
	}
	return func(point string) {
		if point == name && left.Add(-1) == 0 {
			_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
			select {} // the signal is on its way
		}
	}
}

// below gives the points of a package, which knows no others, names that are theirs alone.
func below(prefix string, at func(point string)) func(point string) {
	if at == nil {
		return nil
	}
	return func(point string) { at(prefix + point) }
}
