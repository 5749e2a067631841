// Command hull-build is `hull build` and `hull builder`: a program of its own, so that hull stays light.
// hull executes it when it is asked to build. Package internal/buildcli has its contract.
package main

import (
	"os"

	"github.com/hull-dev/hull/internal/buildcli"
)

func main() { os.Exit(buildcli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
