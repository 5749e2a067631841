//go:build !amd64

package sigpipe

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// catch is the slow way, by os/signal, where there is no handler of our own.
func catch(s unix.Signal) error {
	c := make(chan os.Signal, 16)
	signal.Notify(c, s)
	go func() {
		for range c {
			unix.Write(int(writeEnd), []byte{byte(s)})
		}
	}()
	return nil
}
