package launch

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

//go:noinline
func deeper(n int, f func()) {
	var pad [64]byte
	if n == 0 {
		f()
	} else {
		deeper(n-1, f)
	}
	_ = append(pad[:0], byte(n))
}

// TestStartOnAGrowingStack: the kernel writes the pidfd where the parent reads it, wherever on
// a goroutine's stack, which moves when it grows, Start is called.
func TestStartOnAGrowingStack(t *testing.T) {
	for depth := range 120 {
		done := make(chan error)
		go deeper(depth, func() {
			p := New()
			p.Exit(0)
			c, err := p.Start(Clone{Share: depth%2 == 0})
			if err != nil {
				done <- err
				return
			}
			if c.PidFD < 0 {
				unix.Wait4(c.Pid, nil, 0, nil)
				done <- errors.New("no pidfd")
				return
			}
			c.Kill()
			done <- nil
		})
		if err := <-done; err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
	}
}
