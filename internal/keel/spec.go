package keel

import (
	_ "embed" // for the two texts
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/ociruntime"
)

//go:embed spec.json
var specText string

//go:embed spec-rootless.json
var specRootlessText string

// spec writes a config.json to start from; one that is there is never overwritten.
func spec(_ *ociruntime.Runtime, f flags, _ []string) (int, error) {
	text := specText
	if f.is2("rootless") {
		text = specRootlessText
	}
	name := filepath.Join(f.get("bundle"), "config.json")
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, fmt.Errorf("write a new specification: %w; remove the file that is there first", err)
	}
	defer out.Close()
	_, err = out.WriteString(text)
	return 0, err
}
