package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// buildProgram is the program beside hull that builds: it is large, and hull starts in a millisecond.
const buildProgram = "hull-build"

func buildVerbs() []verb {
	return []verb{
		{"build", "[-t NAME] [-f FILE] [--target STAGE] [--build-arg N=V] ... PATH|URL|-", "build an image from a Dockerfile", (*App).build},
		{"image build", "", "build an image (as build)", (*App).build},
		{"builder build", "", "build an image (as build)", (*App).build},
		{"buildx build", "", "build an image (as build)", (*App).build},
	}
}

// build becomes the program that builds. It gets its arguments as they are, and which hulld to ask.
func (a *App) build(_ context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for %s beside hull: %w", buildProgram, err)
	}
	path := filepath.Join(filepath.Dir(self), buildProgram)
	env := os.Environ()
	if host, _ := a.chosen(a.given); host != "" {
		env = append(env, "HULL_HOST="+host)
	}
	err = syscall.Exec(path, append([]string{"hull build"}, args...), env)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not there: `hull build` is a program of its own beside hull", path)
	}
	return fmt.Errorf("starting %s: %w", path, err)
}
