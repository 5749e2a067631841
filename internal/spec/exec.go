package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions are those of a further process in a running container.
type ExecOptions struct {
	Args       []string
	Env        []string
	WorkingDir string // "": the container's
	TTY        bool
	// User is set when another one than the container's was asked for.
	User *User
	// Privileged gives it all capabilities that hulld has; Available are those.
	Privileged  bool
	Available   []string
	ConsoleSize [2]uint // height, width; zero: none
}

// Exec makes the process of an exec from the container's first process, as Build made it.
func Exec(first *specs.Process, o ExecOptions) *specs.Process {
	p := *first
	p.Args, p.Terminal, p.ConsoleSize = o.Args, o.TTY, nil
	base := first.Env
	if o.TTY && !first.Terminal {
		base = MergeEnv([]string{"TERM=xterm"}, base)
	}
	p.Env = MergeEnv(base, o.Env)
	if o.WorkingDir != "" {
		p.Cwd = o.WorkingDir
	}
	if o.User != nil {
		p.User = processUser(*o.User)
		p.User.Umask = first.User.Umask
	}
	if o.TTY && o.ConsoleSize != [2]uint{} {
		p.ConsoleSize = &specs.Box{Height: o.ConsoleSize[0], Width: o.ConsoleSize[1]}
	}
	caps := first.Capabilities.Bounding
	if o.Privileged {
		caps, p.NoNewPrivileges = o.Available, false
	}
	p.Capabilities = capabilitySets(caps, p.User.UID)
	return &p
}
