package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// setUnified writes linux.resources.unified, file name → content, into a v2 directory.
func setUnified(dir string, m map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		for line := range strings.SplitSeq(strings.TrimRight(m[key], "\n"), "\n") {
			err := writeFile(dir, key, line)
			if err == nil {
				continue
			}
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
				controller, _, _ := strings.Cut(key, ".")
				text, rerr := readFile(dir, "cgroup.controllers")
				if rerr == nil && controller != "cgroup" && !slices.Contains(strings.Fields(text), controller) {
					err = fmt.Errorf("controller %q is not available: %w", controller, err)
				}
			}
			return &LimitError{Field: fmt.Sprintf("unified[%q]", key), Value: line, Err: err}
		}
	}
	return nil
}

// checkUnifiedKey accepts CONTROLLER.PARAMETER, a plain file name. Files that move, stop or
// end processes are no limits: "cgroup.procs": "1" would pull the host's init into a container.
func checkUnifiedKey(key string) error {
	controller, param, ok := strings.Cut(key, ".")
	switch {
	case strings.Contains(key, "/"):
		return errors.New("must be a file name (no slashes)")
	case !ok || controller == "" || param == "" || strings.Contains(key, "..") || strings.ContainsAny(key, "\x00\n") || len(key) > 255:
		return errors.New("must be in the form CONTROLLER.PARAMETER")
	}
	switch key {
	case "cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type", "cgroup.subtree_control":
		return errors.New("is not a limit: it moves, stops or ends processes or changes the group's kind")
	}
	return nil
}
