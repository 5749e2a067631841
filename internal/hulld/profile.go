package hulld

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profile writes a CPU profile of the daemon's whole life to the file that the environment variable
// HULL_CPUPROFILE names, for those who look for where the time goes (make bench-image). The
// function it returns ends that.
func profile() (stop func(), err error) {
	name := os.Getenv("HULL_CPUPROFILE")
	if name == "" {
		return func() {}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("starting the CPU profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
