// Command hull-init is process 1 of a container with --init. Package internal/reaper has its contract.
package main

import (
	"os"

	"github.com/hull-dev/hull/internal/reaper"
)

func main() { os.Exit(reaper.Main(os.Args[1:])) }
