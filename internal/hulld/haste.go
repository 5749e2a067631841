package hulld

import (
	"strconv"
	"time"

	"github.com/hull-dev/hull/internal/registry"
)

// haste is for tests: the environment variable HULL_HASTE=N divides the time limits of the
// registry client, so that a test of a registry that never answers ends in its time. Anything
// but a whole number from 2 to 1000 leaves the limits as they are.
func haste(setting string) registry.Limits {
	n, err := strconv.Atoi(setting)
	if err != nil || n < 2 || n > 1000 {
		return registry.Limits{}
	}
	l := registry.DefaultLimits()
	for _, d := range []*time.Duration{&l.Header, &l.Commit, &l.Request, &l.Idle, &l.Backoff, &l.MaxWait, &l.TotalWait} {
		*d /= time.Duration(n)
	}
	return l
}
