package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
)

func (a *App) containerExport(ctx context.Context, args []string) error {
	o := newOptions()
	output := o.text("output", 'o', "", "Write to a file, instead of STDOUT")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	path, err := containerPath(args[0])
	if err != nil {
		return err
	}
	if *output == "" && isTerminal(a.Out) {
		return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
	}
	if *output != "" {
		if err := checkOutput(*output); err != nil {
			return fmt.Errorf("failed to export container: %w", err)
		}
	}
	body, err := a.client.do(ctx, call{method: "GET", path: path + "/export"})
	if err != nil {
		return err
	}
	defer body.Close()
	if *output != "" {
		return saveFile(*output, body)
	}
	_, err = io.Copy(a.Out, body)
	return err
}
