package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Verbs of a client.
const (
	verbPull   = "pull"   // REF
	verbPush   = "push"   // REF
	verbTag    = "tag"    // REF NEW
	verbLoad   = "load"   // FILE
	verbSave   = "save"   // FILE REF
	verbImport = "import" // FILE REF
	verbImages = "images"
	verbCreate = "create" // REF NAME: a container
)

// engine is one of those under test. dir is on the disk under test; state is not.
type engine struct {
	name     string
	programs []string // that must be installed
	// serve is the daemon's command line; nil for none. config is called before.
	config func(dir, state string) error
	serve  func(dir, state string) []string
	socket func(state string) string
	client func(dir, state string) []string
	verbs  map[string][]string // arguments; "1" and "2" stand for the verb's own
}

// argv is the command line of a verb; nil when the engine has no such verb.
func (e *engine) argv(dir, state, verb string, args ...string) []string {
	form := e.verbs[verb]
	if form == nil {
		return nil
	}
	out := e.client(dir, state)
	for _, f := range form {
		switch f {
		case "1":
			f = args[0]
		case "2":
			f = args[1]
		}
		out = append(out, f)
	}
	return out
}

// start runs the daemon; nil when the engine has none.
func (e *engine) start(dir, state string) (*daemon, error) {
	if e.config != nil {
		if err := e.config(dir, state); err != nil {
			return nil, err
		}
	}
	if e.serve == nil {
		return nil, nil
	}
	return startDaemon(e.serve(dir, state), filepath.Join(state, "log"), func() bool {
		c, err := net.Dial("unix", e.socket(state))
		if err != nil {
			return false
		}
		c.Close()
		_, _, err = command(append(e.client(dir, state), "version"), nil, "")
		return err == nil
	})
}

func hulld(bin string) *engine {
	socket := func(state string) string { return filepath.Join(state, "hull.sock") }
	return &engine{
		name:     "hulld",
		programs: []string{filepath.Join(bin, "hull"), filepath.Join(bin, "hulld")},
		socket:   socket,
		serve: func(dir, state string) []string {
			return []string{filepath.Join(bin, "hulld"), "--data-root", filepath.Join(dir, "hull"), "--state-dir", state, "--log-file", "-", "--config", os.DevNull, "--networks", "off"}
		},
		client: func(dir, state string) []string {
			return []string{filepath.Join(bin, "hull"), "-H", "unix://" + socket(state)}
		},
		verbs: map[string][]string{
			verbPull: {"pull", "-q", "1"}, verbPush: {"push", "-q", "1"}, verbTag: {"tag", "1", "2"}, verbLoad: {"load", "-q", "-i", "1"},
			verbSave: {"save", "-o", "1", "2"}, verbImport: {"import", "1", "2"}, verbImages: {"images"}, verbCreate: {"create", "--network", "none", "1"},
		},
	}
}

func dockerd() *engine {
	socket := func(state string) string { return filepath.Join(state, "sock") }
	client := "/usr/bin/docker" // Debian's, of dockerd's version
	return &engine{
		name:     "docker",
		programs: []string{client, "dockerd"},
		socket:   socket,
		config: func(dir, state string) error {
			text := fmt.Sprintf(`{"data-root": %q, "exec-root": %q, "pidfile": %q, "hosts": [%q], "bridge": "none", "iptables": false, "ip6tables": false,
				"ip-forward": false, "ip-masq": false, "userland-proxy": false, "storage-driver": "overlay2", "shutdown-timeout": 5}`,
				filepath.Join(dir, "docker"), filepath.Join(state, "exec"), filepath.Join(state, "pid"), "unix://"+socket(state))
			return os.WriteFile(filepath.Join(state, "daemon.json"), []byte(text), 0o600)
		},
		serve: func(_, state string) []string {
			return []string{find("dockerd"), "--config-file", filepath.Join(state, "daemon.json")}
		},
		client: func(_, state string) []string { return []string{client, "-H", "unix://" + socket(state)} },
		verbs: map[string][]string{
			verbPull: {"pull", "-q", "1"}, verbPush: {"push", "-q", "1"}, verbTag: {"tag", "1", "2"}, verbLoad: {"load", "-q", "-i", "1"},
			verbSave: {"save", "-o", "1", "2"}, verbImport: {"import", "1", "2"}, verbImages: {"images"}, verbCreate: {"create", "--network", "none", "1"},
		},
	}
}

func podman() *engine {
	return &engine{
		name:     "podman",
		programs: []string{"podman"},
		client: func(dir, state string) []string {
			return []string{"podman", "--root", filepath.Join(dir, "podman"), "--runroot", filepath.Join(state, "podman"), "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}
		},
		verbs: map[string][]string{
			verbPull: {"pull", "-q", "--tls-verify=false", "1"}, verbPush: {"push", "-q", "--tls-verify=false", "1"}, verbTag: {"tag", "1", "2"}, verbLoad: {"load", "-q", "-i", "1"},
			verbSave: {"save", "-q", "-o", "1", "2"}, verbImport: {"import", "-q", "1", "2"}, verbImages: {"images"}, verbCreate: {"create", "--network", "none", "1"},
		},
	}
}

func ctr() *engine {
	socket := func(state string) string { return filepath.Join(state, "sock") }
	return &engine{
		name:     "ctr",
		programs: []string{"containerd", "ctr"},
		socket:   socket,
		config: func(dir, state string) error {
			text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n",
				filepath.Join(dir, "containerd"), filepath.Join(state, "state"), socket(state), socket(state)+".ttrpc")
			return os.WriteFile(filepath.Join(state, "config.toml"), []byte(text), 0o600)
		},
		serve: func(_, state string) []string {
			return []string{find("containerd"), "--config", filepath.Join(state, "config.toml"), "--log-level", "error"}
		},
		client: func(_, state string) []string { return []string{"ctr", "-a", socket(state)} },
		verbs: map[string][]string{
			verbPull: {"images", "pull", "--plain-http", "1"}, verbPush: {"images", "push", "--plain-http", "1"}, verbTag: {"images", "tag", "1", "2"},
			verbLoad: {"images", "import", "1"}, verbSave: {"images", "export", "1", "2"}, verbImages: {"images", "ls"},
		},
	}
}

// installed are the engines that can be run, and in words those that cannot.
func installed(o options) (out []*engine, missing []string) {
	for _, e := range []*engine{hulld(o.bin), dockerd(), podman(), ctr()} {
		if !o.engines.MatchString(e.name) {
			continue
		}
		var lacks []string
		for _, p := range e.programs {
			if filepath.IsAbs(p) {
				if _, err := os.Stat(p); err != nil {
					lacks = append(lacks, p)
				}
			} else if find(p) == "" {
				lacks = append(lacks, p)
			}
		}
		if lacks != nil {
			missing = append(missing, fmt.Sprintf("%s is left out: no %s", e.name, strings.Join(lacks, ", ")))
			continue
		}
		out = append(out, e)
	}
	return out, missing
}
