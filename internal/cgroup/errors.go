package cgroup

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// LimitError says that one field of linux.resources could not be set.
type LimitError struct {
	Field string // "memory.limit", as below linux.resources in config.json
	Value string // what was to be written, in the file's own form; "" when it came to no write
	Err   error  // the cause; names the file when there is one
}

func (e *LimitError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("cannot set linux.resources.%s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("cannot set linux.resources.%s to %q: %v", e.Field, e.Value, e.Err)
}

func (e *LimitError) Unwrap() error { return e.Err }

// NoRightsError is not a failure of the container: an ordinary user has no rights in some
// hierarchies, no explicit path was asked for, and the group was made without them.
type NoRightsError struct {
	Hierarchies []string // names as in /proc/self/cgroup; "" is v2
	Err         error    // the first refusal
}

func (e *NoRightsError) Error() string {
	names := make([]string, len(e.Hierarchies))
	for i, n := range e.Hierarchies {
		if n == "" {
			n = "v2"
		}
		names[i] = n
	}
	return fmt.Sprintf("no rights in the cgroup hierarchies %s, the container runs without them: %v",
		strings.Join(names, " "), e.Err)
}

func (e *NoRightsError) Unwrap() error { return e.Err }

// UseError says that a cgroup directory exists and cannot be taken for a new container
// (runtime-spec, config-linux.md, "Control groups").
type UseError struct {
	Dir    string
	Reason string
}

func (e *UseError) Error() string {
	return fmt.Sprintf("cgroup %s cannot be used for a new container: %s", e.Dir, e.Reason)
}

// set writes one value and names the field in the error.
func set(field, dir, file, value string) error {
	if err := writeFile(dir, file, value); err != nil {
		return &LimitError{Field: field, Value: value, Err: err}
	}
	return nil
}

// writeLines opens a file once for several writes, each of which the kernel takes for itself.
func writeLines(field, dir, file string, lines func(write func(string) error) error) error {
	path := dir + "/" + file
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return &LimitError{Field: field, Err: err}
	}
	defer unix.Close(fd)
	return lines(func(v string) error {
		if err := writeFD(fd, path, v); err != nil {
			return &LimitError{Field: field, Value: v, Err: err}
		}
		return nil
	})
}
