// Package keel is the command line of the OCI runtime, a drop-in for runc's: a table of
// verbs, a flag parser in runc's manner (-flag and --flag, "=value" or the next word),
// errors as one line on stderr and one record in the --log file.
package keel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/seal"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is set by the linker.
var Version = "0.1.0-dev"

type command struct {
	flags   string // names; ":" after one that takes a value; "short=long" for an alias
	usage   string
	minArgs int
	run     func(r *ociruntime.Runtime, f flags, args []string) (int, error)
}

// lookup finds a verb: a switch, so that start-up builds no table.
func lookup(verb string) (command, bool) {
	const launch = "bundle: b=bundle console-socket: pid-file: pidfd-socket: no-pivot no-new-keyring preserve-fds: print-plan no-subreaper"
	switch verb {
	case "create":
		return command{launch, "create [options] ID", 1, create}, true
	case "run":
		return command{launch + " detach d=detach keep", "run [options] ID", 1, run}, true
	case "start":
		return command{"", "start ID", 1, start}, true
	case "state":
		return command{"", "state ID", 1, state}, true
	case "list":
		return command{"format: f=format quiet q=quiet", "list [options]", 0, list}, true
	case "kill":
		return command{"all a=all", "kill [options] ID [SIGNAL]", 1, kill}, true
	case "delete":
		return command{"force f=force", "delete [options] ID", 1, remove}, true
	case "exec":
		return command{"console-socket: cwd: env: e=env tty t=tty user: u=user additional-gids: g=additional-gids process: p=process detach d=detach pid-file: pidfd-socket: process-label: apparmor: no-new-privs cap: c=cap preserve-fds: cgroup: ignore-paused", "exec [options] ID COMMAND [ARG…]", 1, exec}, true
	case "pause":
		return command{"", "pause ID", 1, pause}, true
	case "resume":
		return command{"", "resume ID", 1, resume}, true
	case "ps":
		return command{"format: f=format", "ps [options] ID", 1, ps}, true
	case "events":
		return command{"interval: stats", "events --stats ID", 1, events}, true
	case "spec":
		return command{"bundle: b=bundle rootless", "spec [options]", 0, spec}, true
	case "features":
		return command{"", "features", 0, showFeatures}, true
	case "update":
		return command{updateFlags, "update [options] ID", 1, update}, true
	}
	return command{}, false
}

// flags are the options given: name to values.
type flags map[string][]string

func (f flags) is(name string) bool { return len(f[name]) > 0 && f[name][len(f[name])-1] != "false" }
func (f flags) get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}
func (f flags) number(name string) (int, error) {
	v := f.get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--%s: %q is not a number", name, v)
	}
	return n, nil
}

// parse takes flags up to the first other word (or "--").
func parse(known string, args []string) (flags, []string, error) {
	f := flags{}
	for len(args) > 0 {
		a := args[0]
		if a == "--" {
			return f, args[1:], nil
		}
		if len(a) < 2 || a[0] != '-' {
			break
		}
		name, value, has := strings.Cut(strings.TrimPrefix(a[1:], "-"), "=")
		takes, found := false, false
		for _, k := range strings.Fields(known) {
			if short, long, ok := strings.Cut(k, "="); ok && short == name {
				name = long
			}
		}
		for _, k := range strings.Fields(known) {
			if strings.TrimSuffix(k, ":") == name {
				found, takes = true, strings.HasSuffix(k, ":")
			}
		}
		if !found {
			return nil, nil, fmt.Errorf("unknown option %s", a)
		}
		args = args[1:]
		if takes && !has {
			if len(args) == 0 {
				return nil, nil, fmt.Errorf("option %s needs a value", a)
			}
			value, args = args[0], args[1:]
		}
		f[name] = append(f[name], value)
	}
	return f, args, nil
}

// Main runs the command line and returns the exit status.
func Main(args []string) int {
	g, rest, err := parse("root: log: log-format: debug systemd-cgroup rootless: help h=help version v=version", args)
	if err != nil {
		return fail(g, err)
	}
	if g.is2("version") {
		fmt.Printf("keel version %s\nspec: %s\n", Version, specs.Version)
		return 0
	}
	if len(rest) == 0 || g.is2("help") || rest[0] == "help" {
		fmt.Print(help)
		return 0
	}
	c, ok := lookup(rest[0])
	if !ok {
		return fail(g, fmt.Errorf("unknown command %q; `keel help` lists them", rest[0]))
	}
	rest0 := rest[0]
	f, rest, err := parse(c.flags+" help h=help", rest[1:])
	if err == nil && !f.is2("help") && len(rest) < c.minArgs {
		err = fmt.Errorf("usage: keel %s", c.usage)
	}
	if err != nil {
		return fail(g, err)
	}
	if f.is2("help") {
		fmt.Println("usage: keel", c.usage)
		return 0
	}
	if g.is2("systemd-cgroup") {
		return fail(g, errors.New("--systemd-cgroup is not supported yet; use a cgroupsPath of the file system"))
	}
	switch rest0 {
	case "create", "run", "exec", "start", "delete": // these start processes that a container can see
		if err := seal.Ensure(); err != nil {
			return fail(g, err)
		}
	}
	r := &ociruntime.Runtime{Root: g.get("root"), Rootless: os.Geteuid() != 0}
	r.Warn = func(msg string) { record(g, "warning", msg) }
	if r.Root == "" {
		r.Root = "/run/keel"
		if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" && r.Rootless {
			r.Root = filepath.Join(d, "keel")
		}
	}
	code, err := c.run(r, f, rest)
	if err != nil {
		return fail(g, err)
	}
	return code
}

// is2 is for flags without a value, which parse keeps as "".
func (f flags) is2(name string) bool { _, ok := f[name]; return ok && f.is(name) }

func fail(g flags, err error) int {
	record(g, "error", err.Error())
	fmt.Fprintln(os.Stderr, "keel: "+err.Error())
	return 1
}

// record appends to the --log file what engines read there.
func record(g flags, level, msg string) {
	name := g.get("log")
	if name == "" {
		if level == "warning" {
			fmt.Fprintln(os.Stderr, "keel: warning: "+msg)
		}
		return
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "keel: open the log file: "+err.Error())
		return
	}
	defer f.Close()
	now := time.Now().Format(time.RFC3339)
	if g.get("log-format") == "json" {
		fmt.Fprintf(f, "{\"level\":%q,\"msg\":%s,\"time\":%q}\n", level, jsonString(msg), now)
	} else {
		fmt.Fprintf(f, "time=%q level=%s msg=%q\n", now, level, msg)
	}
}

const help = `keel: Hull's OCI runtime

  keel [--root DIR] [--log FILE] [--log-format text|json] [--debug] COMMAND [options] …

Commands: create run start state list kill delete exec pause resume ps events update
          spec features
` + "`keel COMMAND --help` shows a command's usage.\n"
