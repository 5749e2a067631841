// Package buildcli is the command line of `hull build`: a client of BuildKit's protocol at hulld's
// socket, with docker buildx's flags. Files of the context, secrets and ssh agents go over a session that
// hulld asks; nothing is sent that is not asked for.
//
// Output: progress on standard error (auto, plain, tty, rawjson, quiet), with --quiet the image's ID on
// standard output. Exit status: 0, 1 when the build failed, 125 for mistakes in the command line.
// SIGINT or SIGTERM ends the build, and its instructions with it.
package buildcli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"
)

// usageStatus is the exit status for mistakes in the command line, as Docker's.
const usageStatus = 125

// Main runs the program with its arguments, the first of which is the verb.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "build" {
		args = args[1:]
	}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "hull build:", err)
		return usageStatus
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, stdin, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "ERROR:", err)
		return 1
	}
	return 0
}
