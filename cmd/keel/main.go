// One processor is enough (package seal), so the Go runtime need not look for the cgroup's share of
// them at start, nor again each second.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
//go:debug decoratemappings=0
package main

import (
	"os"

	"github.com/hull-dev/hull/internal/keel"
)

func main() { os.Exit(keel.Main(os.Args[1:])) }
