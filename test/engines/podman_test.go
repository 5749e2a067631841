package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// podmanConfig lowers the limits that podman asks for by itself below those of machines where
// root lacks CAP_SYS_RESOURCE; the case "limits above the hard limit" asks for them again.
const podmanConfig = `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
init_path = "INIT"
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
`

// startPodman prepares a podman with storage of its own. There is no daemon to start.
func startPodman(t *testing.T, runtime string) *engine {
	t.Helper()
	dir := engineDir(t, "podman")
	config := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(config, []byte(strings.Replace(podmanConfig, "INIT", initProgram(), 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	e := &engine{
		name:    "podman",
		runtime: runtime,
		dir:     dir,
		state:   filepath.Join(dir, "state"),
		parent:  "/hull-engines-" + filepath.Base(dir),
	}
	// The clean-up that conmon starts when a container ends forgets podman's --runtime-flag, so
	// the state directory is given by a script.
	wrapper := filepath.Join(dir, filepath.Base(runtime))
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s' \"$@\"\n", runtime, e.state)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	e.argv = []string{"podman",
		"--root", filepath.Join(dir, "root"),
		"--runroot", filepath.Join(dir, "runroot"),
		"--tmpdir", filepath.Join(dir, "tmp"),
		"--storage-driver", "overlay",
		"--cgroup-manager", "cgroupfs",
		"--runtime", wrapper,
	}
	e.env = append(os.Environ(), "CONTAINERS_CONF="+config)
	t.Cleanup(func() {
		if ids := e.do("", "ps", "-aq"); ids.code == 0 {
			for id := range strings.FieldsSeq(ids.out) {
				e.remove(id)
			}
		}
		leftovers(t, e)
	})
	importImage(t, e)
	return e
}
