package cli

import (
	"context"
	"fmt"
	"io"
)

// systemDial joins standard input and output to the daemon: the other end of ssh://.
func (a *App) systemDial(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	conn, err := a.client.connect(ctx)
	if err != nil {
		return fmt.Errorf("failed to open the raw stream connection: %w", err)
	}
	defer conn.Close()
	in, out := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, a.In)
		if c, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
			err = c.CloseWrite()
		}
		in <- err
	}()
	go func() {
		_, err := io.Copy(a.Out, conn)
		out <- err
	}()
	select {
	case err := <-in:
		if err != nil {
			return err
		}
		return <-out
	case err := <-out:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
