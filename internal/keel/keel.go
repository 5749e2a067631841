// Package keel is the command line of the OCI runtime, a drop-in for runc's.
//
// # Terms
//
//   - verb: the first word that is not a global option: create, run, exec, …
//   - option: -name or --name, with "=value" or the next word as its value (package-wide
//     parser in options.go, in runc's manner).
//   - record: one line in the --log file, JSON or text, that engines read to learn why a
//     verb failed.
//
// # Life of a call
//
//	keel --root /run/x --log l.json --log-format json run -b /bundle id
//	     └─ global options ────────────────────────┘   │   └─ the verb's options, arguments
//	                                              verb ┘
//
// [Main] parses the global options, finds the verb (command.go), parses its options, and
// calls its function, which lives in the file of that name. The exit status is that of the
// container's process for run and exec; 1 for an error, 255 for an error of exec, 3 for an
// unknown verb, as runc's. An error is one line on stderr, "keel: …", and one record.
package keel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/seal"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is set by the linker.
var Version = "0.1.0-dev"

// Exit statuses besides the container's own.
const (
	exitError       = 1
	exitUnknownVerb = 3   // as urfave/cli, which runc uses
	exitExec        = 255 // exec failed: 1 to 254 may be the process's own
)

func globalOptions() []option {
	return []option{
		{name: "debug", usage: "record debug messages"},
		{name: "log", value: true, usage: "`file` to append records to (default: none, messages go to stderr)"},
		{name: "log-format", value: true, usage: "format of the records: text or json (default: text)"},
		{name: "root", value: true, usage: "`directory` for the containers' state, on a tmpfs (default: /run/keel, for users $XDG_RUNTIME_DIR/keel)"},
		{name: "systemd-cgroup", usage: "make cgroups through systemd; cgroupsPath is slice:prefix:name"},
		{name: "rootless", value: true, usage: "tolerate missing rights in cgroups: true, false or auto (default: auto)"},
		{name: "criu", value: true, usage: "`path` to the criu binary used for checkpoint and restore (default: criu, from $PATH)"},
		{name: "help", short: "h", usage: "show help"},
		{name: "version", short: "v", usage: "print the version"},
	}
}

// Main runs the command line (without the program's name) and returns the exit status.
func Main(args []string) int {
	growStack()
	launch.TimerSlack = uintptr(seal.TimerSlack())
	g, rest, err := parse(globalOptions(), args, true)
	l := &logger{file: g.get("log"), json: g.get("log-format") == "json", debug: g.is("debug")}
	if err != nil {
		fmt.Printf("Incorrect Usage. %v\n\n%s", err, help())
		return l.fail(err, exitError)
	}
	switch {
	case g.is("version"):
		fmt.Printf("keel version %s\nspec: %s\n", Version, specs.Version)
		return 0
	case g.is("help") || len(rest) == 0:
		fmt.Print(help())
		return 0
	case rest[0] == "help" || rest[0] == "h":
		return helpFor(l, rest[1:])
	}
	c, ok := lookup(rest[0])
	if !ok {
		return l.fail(fmt.Errorf("no help topic for %q: there is no such command; `keel help` lists them", rest[0]), exitUnknownVerb)
	}
	f, rest, err := parse(append(c.options, helpOption()), rest[1:], c.inOrder)
	if err != nil {
		fmt.Printf("Incorrect Usage: %v\n\n%s", err, c.help())
		return l.fail(err, exitError)
	}
	if f.is("help") {
		fmt.Print(c.help())
		return 0
	}
	if err := c.checkArgs(len(rest)); err != nil {
		fmt.Printf("Incorrect Usage.\n\n%s", c.help())
		return l.fail(err, exitError)
	}
	if c.starts {
		if err := seal.Ensure(); err != nil {
			return l.fail(err, exitError)
		}
	}
	r, err := newRuntime(g, l)
	if err != nil {
		return l.fail(err, exitError)
	}
	code, err := c.run(r, f, rest)
	if err != nil {
		return l.fail(err, max(code, exitError))
	}
	return code
}

// newRuntime makes the runtime that the global options describe.
func newRuntime(g options, l *logger) (*ociruntime.Runtime, error) {
	if f := g.get("log-format"); f != "" && f != "text" && f != "json" {
		return nil, errors.New("invalid log-format: " + f)
	}
	r := &ociruntime.Runtime{OpenFiles: seal.OpenFiles(), SystemdCgroup: g.is("systemd-cgroup"), Criu: g.get("criu"), Warn: func(msg string) { l.write("warning", msg) }}
	if l.debug {
		r.Debug = func(msg string) { l.write("debug", msg) }
	}
	switch v := g.get("rootless"); v {
	case "true":
		r.Rootless = true
	case "false":
	case "", "auto":
		r.Rootless = ordinaryUser()
	default:
		return nil, fmt.Errorf("--rootless: %q is not true, false or auto", v)
	}
	if !g.has("root") {
		root, err := defaultRoot()
		r.Root = root
		return r, err
	}
	root, err := filepath.Abs(g.get("root"))
	if err != nil {
		return nil, fmt.Errorf("--root: %w", err)
	}
	if root == "/" || g.get("root") == "" {
		return nil, errors.New("option --root argument should not be empty or /")
	}
	r.Root = root
	return r, nil
}

// ordinaryUser is true without the rights of the host's root: for root of a user namespace
// too.
func ordinaryUser() bool {
	if os.Geteuid() != 0 {
		return true
	}
	initial, err := ociruntime.InitialUserNamespace()
	return err == nil && !initial
}

// defaultRoot is the state directory when --root does not name one. In $XDG_RUNTIME_DIR it
// gets the sticky bit, which keeps it from being cleaned away (XDG base directory
// specification).
func defaultRoot() (string, error) {
	const system = "/run/keel"
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" || !ordinaryUser() || os.Geteuid() == 0 && os.Getenv("USER") == "root" {
		return system, nil
	}
	root := filepath.Join(dir, "keel")
	err := os.MkdirAll(root, 0o700)
	if err == nil {
		err = os.Chmod(root, 0o700|os.ModeSticky)
	}
	if err != nil {
		return "", fmt.Errorf("make the state directory in $XDG_RUNTIME_DIR: %w", err)
	}
	return root, nil
}
