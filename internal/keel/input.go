package keel

import (
	"fmt"
	"io"
	"os"
)

// maxInput bounds the files that options name: process.json, resources.json (SECURITY.md R10).
const maxInput = 16 << 20

// readInput reads a file, or standard input for "-".
func readInput(name string) ([]byte, error) {
	in := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("read %s: larger than %d bytes", name, maxInput)
	}
	return b, err
}
