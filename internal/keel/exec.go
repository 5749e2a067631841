package keel

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func execCommand() command {
	return command{
		name: "exec", brief: "execute new process inside the container",
		args: containerID + " <command> [command options]  || -p process.json " + containerID, min: 1, max: -1, inOrder: true, starts: true,
		about: "The process is config.json's with the command in the place of its program and the options laid over it,\nor wholly that of process.json. The exit status is that of the process; 255 is keel's own failure.",
		options: []option{
			{name: "console-socket", value: true, usage: "`path` to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's pseudoterminal"},
			{name: "pidfd-socket", value: true, usage: "`path` to an AF_UNIX socket which will receive a file descriptor referencing the exec process"},
			{name: "cwd", value: true, usage: "current working `directory` in the container"},
			{name: "env", short: "e", value: true, usage: "set an environment variable, `name=value`; can be given several times"},
			{name: "tty", short: "t", usage: "allocate a pseudo-TTY"},
			{name: "user", short: "u", value: true, usage: "UID (format: `uid[:gid]`)"},
			{name: "additional-gids", short: "g", value: true, number: true, usage: "additional `gid`; can be given several times"},
			{name: "process", short: "p", value: true, usage: "`path` to the process.json"},
			{name: "detach", short: "d", usage: "detach from the container's process"},
			{name: "pid-file", value: true, usage: "`file` to write the process id to"},
			{name: "process-label", value: true, usage: "set the SELinux `label` for the process"},
			{name: "apparmor", value: true, usage: "set the AppArmor `profile` for the process"},
			{name: "no-new-privs", usage: "set the no new privileges value for the process"},
			{name: "cap", short: "c", value: true, usage: "add a `capability` to the bounding set for the process; can be given several times"},
			{name: "preserve-fds", value: true, number: true, usage: "pass `N` additional file descriptors to the container (stdio + N in total) (default: 0)"},
			{name: "cgroup", value: true, usage: "run the process in an (existing) sub-cgroup(s). Format is `[controller:]cgroup`"},
			{name: "ignore-paused", usage: "allow exec in a paused container"},
		},
		run: func(r *ociruntime.Runtime, o options, args []string) (int, error) {
			code, err := runExec(r, o, args)
			if err != nil {
				return exitExec, fmt.Errorf("exec failed: %w", err)
			}
			return code, nil
		},
	}
}

func runExec(r *ociruntime.Runtime, o options, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	e := ociruntime.ExecOptions{ConsoleSocket: o.get("console-socket"), PidFile: o.get("pid-file"), PidfdSocket: o.get("pidfd-socket"),
		Detach: o.is("detach"), IgnorePaused: o.is("ignore-paused")}
	if e.Process, err = execProcess(c, o, args[1:]); err != nil {
		return 0, err
	}
	if e.PreserveFDs, err = preserved(o, 3); err != nil {
		return 0, err
	}
	if e.Cgroup, err = subCgroups(o["cgroup"]); err != nil {
		return 0, err
	}
	p, err := c.Exec(e)
	if err != nil {
		return 0, err
	}
	return p.Wait()
}

// execProcess is what to execute: process.json, or config.json's process with the options
// laid over it.
func execProcess(c *ociruntime.Container, o options, args []string) (*specs.Process, error) {
	var p *specs.Process
	if name := o.get("process"); name != "" {
		b, err := readInput(name)
		if err == nil {
			p, err = ocispec.DecodeProcess(b)
		}
		if err != nil {
			return nil, fmt.Errorf("--process %s: %w", name, err)
		}
	} else {
		s, err := c.Config()
		if err != nil {
			return nil, err
		}
		own := *s.Process
		p = &own
		if err := overlay(p, o, args); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// overlay changes a copy of config.json's process as the options say; its slices are shared.
func overlay(p *specs.Process, o options, args []string) error {
	if len(args) == 0 {
		return errors.New("exec args cannot be empty")
	}
	p.Args = args
	p.Terminal = o.is("tty")
	if cwd := o.get("cwd"); cwd != "" {
		p.Cwd = cwd
	}
	if v := o.get("apparmor"); v != "" {
		p.ApparmorProfile = v
	}
	if v := o.get("process-label"); v != "" {
		p.SelinuxLabel = v
	}
	if o.has("no-new-privs") {
		p.NoNewPrivileges = o.is("no-new-privs")
	}
	p.Env = slices.Concat(p.Env, o["env"])
	if caps := o["cap"]; len(caps) > 0 {
		sets := &specs.LinuxCapabilities{}
		if p.Capabilities != nil {
			*sets = *p.Capabilities
		}
		p.Capabilities = sets
		sets.Bounding, sets.Effective, sets.Permitted = slices.Concat(sets.Bounding, caps), slices.Concat(sets.Effective, caps), slices.Concat(sets.Permitted, caps)
		if sets.Inheritable != nil { // ambient ones must be inheritable; without such a set runc adds none
			sets.Ambient = slices.Concat(sets.Ambient, caps)
		}
	}
	return overlayUser(&p.User, o.get("user"), o["additional-gids"])
}

func overlayUser(u *specs.User, user string, gids []string) (err error) {
	if user != "" {
		uid, gid, both := strings.Cut(user, ":")
		if u.UID, err = parseID(uid); err != nil {
			return fmt.Errorf("bad uid: %w", err)
		}
		if both {
			if u.GID, err = parseID(gid); err != nil {
				return fmt.Errorf("bad gid: %w", err)
			}
		}
	}
	for _, g := range gids {
		n, err := parseID(g)
		if err != nil {
			return fmt.Errorf("--additional-gids: %w", err)
		}
		u.AdditionalGids = append(slices.Clone(u.AdditionalGids), n)
	}
	return nil
}

// parseID takes digits only, up to 2^32-2: no sign, blank or name, and nothing that wraps to
// 0 in 32 bits (CVE-2024-40635); -1 means "leave as it is" to the kernel.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is not a number from 0 to 4294967294", s)
	}
	return uint32(n), nil
}

// subCgroups turns the --cgroup options into controller → cgroup below the container's; one
// without a controller has the key "" and must be alone.
func subCgroups(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(list))
	for _, arg := range list {
		controllers, sub, ok := strings.Cut(arg, ":")
		if !ok {
			if len(list) > 1 {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (missing <controller>: prefix)", arg)
			}
			out[""] = arg
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			if c == "" {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (empty <controller> prefix)", arg)
			}
			if _, twice := out[c]; twice {
				return nil, fmt.Errorf("invalid --cgroup argument(s): controller %s specified multiple times", c)
			}
			out[c] = sub
		}
	}
	return out, nil
}
