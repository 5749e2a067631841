// Command hull is Hull's command line: images over the Docker Engine API. Package internal/cli
// has its contract.
package main

import (
	"os"

	"github.com/hull-dev/hull/internal/cli"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	app := &cli.App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Version: version, Commit: commit}
	os.Exit(app.Main(os.Args[1:]))
}
