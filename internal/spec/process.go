package spec

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultPath is $PATH of a container whose image sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (b *builder) process() error {
	p := &specs.Process{
		Args:     Args(b.Config),
		Cwd:      b.Config.WorkingDir,
		Env:      Env(b.Config.Hostname, b.Config.Tty, b.LinkEnv, b.Config.Env),
		Terminal: b.Config.Tty,
		User:     processUser(b.User),
	}
	b.spec.Process = p
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if b.wantsInit() {
		p.Args = append([]string{InitPath, "--"}, p.Args...)
	}
	p.User.Umask = b.Host.Umask
	if size := b.Host.ConsoleSize; b.Config.Tty && size != [2]uint{} {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	caps, err := Capabilities(b.Facts.Capabilities, b.profile.caps, b.Host.CapAdd, b.Host.CapDrop, b.Host.Privileged)
	if err != nil {
		return err
	}
	p.Capabilities = capabilitySets(caps, b.User.UID)
	p.NoNewPrivileges = b.noNewPrivileges()
	p.ApparmorProfile = b.apparmor()
	if err := b.selinux(); err != nil {
		return err
	}
	p.Rlimits, err = b.rlimits()
	p.OOMScoreAdj = b.oomScoreAdj()
	return err
}

// processUser adds the primary group to the supplementary ones: a file whose mode locks that group
// out stays closed (CVE-2022-36109, SECURITY.md R6).
func processUser(u User) specs.User {
	groups := []uint32{u.GID}
	for _, g := range u.Groups {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return specs.User{UID: u.UID, GID: u.GID, AdditionalGids: groups}
}

// noNewPrivileges is what the user says; without a word, it is set where it changes nothing: in an
// image without set-id files and file capabilities (SECURITY.md 2c).
func (b *builder) noNewPrivileges() bool {
	switch {
	case b.security.NoNewPrivileges != nil:
		return *b.security.NoNewPrivileges
	case b.Host.Privileged:
		return false
	case b.profile.noNewPrivileges:
		return true
	}
	return b.profile.noNewPrivilegesByImage && b.NoSetID
}

// oomScoreAdj never makes a container that cannot be started: below its own value hulld needs
// CAP_SYS_RESOURCE.
func (b *builder) oomScoreAdj() *int {
	v := b.Host.OomScoreAdj
	if v < b.Facts.OOMScoreAdj && !slices.Contains(b.Facts.Capabilities, "CAP_SYS_RESOURCE") {
		b.warn("hulld has no right to lower the OOM score (CAP_SYS_RESOURCE). OOM score adjustment discarded.")
		return nil
	}
	return &v
}

// Env is the environment of a container's first process, in Docker's order: defaults, links, then
// what the configuration says. An entry without "=" takes a variable away, and is never looked up
// on the host (SECURITY.md R8).
func Env(hostname string, tty bool, links, config []string) []string {
	env := []string{"PATH=" + DefaultPath, "HOSTNAME=" + hostname}
	if tty {
		env = append(env, "TERM=xterm")
	}
	return MergeEnv(append(env, links...), config)
}

// MergeEnv changes base by the entries of changes.
func MergeEnv(base, changes []string) []string {
	env := slices.Clone(base)
	at := make(map[string]int, len(env))
	for i, e := range env {
		k, _, _ := strings.Cut(e, "=")
		at[k] = i
	}
	gone := false
	for _, e := range changes {
		k, _, assigns := strings.Cut(e, "=")
		i, known := at[k]
		switch {
		case !assigns && known:
			env[i], gone = "", true
			delete(at, k)
		case !assigns:
		case known:
			env[i] = e
		default: // twice, if it is there twice: Docker's containers see the first one
			env = append(env, e)
		}
	}
	if gone {
		env = slices.DeleteFunc(env, func(e string) bool { return e == "" })
	}
	return env
}
