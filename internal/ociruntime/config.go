package ociruntime

import (
	"errors"
	"fmt"

	"github.com/hull-dev/hull/internal/ocispec"
	"golang.org/x/sys/unix"
)

// readConfig reads and checks a config.json for a new container; it also returns the file's
// bytes.
func (r *Runtime) readConfig(name string) (*ocispec.Config, []byte, error) {
	b, err := ocispec.ReadFile(unix.AT_FDCWD, name)
	if err != nil {
		return nil, nil, fmt.Errorf("read the container's configuration: %w", err)
	}
	c, err := r.checkedConfig(b, name)
	return c, b, err
}

// validateUnsupported refuses properties that this version does not implement: silence
// would be a container with less protection than was asked for.
func validateUnsupported(s *ocispec.Config) error {
	l := s.Linux
	switch {
	case l == nil:
		return errors.New("linux is missing")
	}
	return nil
}
