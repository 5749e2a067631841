package main

import (
	"os"

	"github.com/hull-dev/hull/internal/keel"
)

func main() { os.Exit(keel.Main(os.Args[1:])) }
