// Command hulld is Hull's daemon: the Docker Engine API over one store of images. Package
// internal/hulld has its contract.
package main

import (
	"os"

	"github.com/hull-dev/hull/internal/hulld"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

func main() { os.Exit(hulld.Main(os.Args[1:], version, commit, os.Stdout, os.Stderr)) }
