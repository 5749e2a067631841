// Package engines drives container engines that others wrote, Debian's dockerd and podman,
// with keel as their OCI runtime, and checks what their users see.
//
// Terms: an engine is a private dockerd (own data root, exec root, socket, process file,
// containerd; no bridge, no firewall rules; its own mount namespace) or a podman with its own
// storage. A case is one promise ("an exec sees the user asked for"); most cases run on both.
// All containers come from one image, busybox-static packed by image_test.go.
//
//	make engines                                  # keel
//	make engines RUNTIME=runc                     # the same with runc: the baseline
//	HULL_TEST_ENGINES=1 HULL_TEST_RUNTIME=$PWD/bin/keel go test ./test/engines -run 'TestRootDocker/pause' -v
//
// When an engine has stopped, nothing may be left: no process, mount, cgroup or runtime state.
// A run with docker also refreshes test/bench/testdata/docker-config.json when
// HULL_UPDATE_FIXTURES=1: the config.json that dockerd really writes.
package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// engine is a container engine under test, ready to take commands.
type engine struct {
	name    string // docker or podman
	runtime string // absolute path of the OCI runtime
	argv    []string
	env     []string
	dir     string // all that it writes
	state   string // the runtime's state directory (--root)
	parent  string // cgroup parent of all containers
	image   string
	n       int // containers named so far
}

// isRunc says whether the runtime is runc, whose known failures some cases name.
func (e *engine) isRunc() bool { return filepath.Base(e.runtime) == "runc" }

// result is what one command of the engine's client did.
type result struct {
	out, err string
	code     int
}

// commandTimeout bounds one client command; a hung runtime fails its case, not the suite.
const commandTimeout = 60 * time.Second

// do runs one client command.
func (e *engine) do(stdin string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := e.command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	r := result{out: strings.TrimRight(out.String(), "\n"), err: strings.TrimSpace(errOut.String())}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.code, r.err = -1, fmt.Sprintf("no end after %v; stderr: %s", commandTimeout, r.err)
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		r.code, r.err = -1, err.Error()
	}
	return r
}

// remove removes a container, running or not, without grace.
func (e *engine) remove(name string) {
	if e.name == "podman" {
		e.do("", "rm", "-f", "-v", "-t", "0", name)
		return
	}
	e.do("", "rm", "-f", "-v", name)
}

func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := append(append([]string{}, e.argv...), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = e.env
	cmd.WaitDelay = time.Second
	return cmd
}

// probe is one case on one engine.
type probe struct {
	*testing.T
	e *engine
}

// ok runs a client command that must succeed and returns its standard output.
func (p *probe) ok(args ...string) string {
	p.Helper()
	return p.exits(0, args...)
}

// exits runs a client command that must exit with code and returns its standard output.
func (p *probe) exits(code int, args ...string) string {
	p.Helper()
	r := p.e.do("", args...)
	if r.code != code {
		p.Fatalf("%s %s: exit code %d, want %d\nstdout: %s\nstderr: %s", p.e.name, strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	return r.out
}

// run runs a container in the foreground, without network, and returns its output.
// args are the flags; the command follows "--".
func (p *probe) run(args ...string) string {
	p.Helper()
	return p.runExits(0, args...)
}

func (p *probe) runExits(code int, args ...string) string {
	p.Helper()
	return p.exits(code, p.flags(append([]string{"run", "--rm"}, args...))...)
}

// start runs a container in the background and returns its name.
func (p *probe) start(args ...string) string {
	p.Helper()
	name := p.name()
	p.ok(p.flags(append([]string{"run", "-d", "--name", name}, args...))...)
	return name
}

// name makes a container name whose container is removed at the end of the case.
func (p *probe) name() string {
	p.e.n++
	name := fmt.Sprintf("c%d", p.e.n)
	p.Cleanup(func() { p.e.remove(name) })
	return name
}

// flags replaces "--" by the image, and adds what every container gets.
func (p *probe) flags(args []string) []string {
	network := true
	for i, a := range args {
		if a == "--" {
			args[i] = p.e.image
			break
		}
		network = network && !strings.HasPrefix(a, "--network")
	}
	add := []string{"--cgroup-parent", p.e.parent}
	if network {
		add = append(add, "--network", "none")
	}
	return append(append([]string{args[0]}, add...), args[1:]...)
}

// inspect evaluates a template on a container.
func (p *probe) inspect(name, format string) string {
	p.Helper()
	return p.ok("inspect", "--format", format, name)
}

// equal compares an output with what is wanted, carriage returns of a terminal aside.
func (p *probe) equal(what, got, want string) {
	p.Helper()
	if got = strings.TrimSpace(strings.ReplaceAll(got, "\r", "")); got != want {
		p.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func (p *probe) contains(what, got, want string) {
	p.Helper()
	if !strings.Contains(got, want) {
		p.Errorf("%s: %q does not contain %q", what, got, want)
	}
}

// eventually waits up to 15 s for a condition.
func (p *probe) eventually(what string, cond func() bool) {
	p.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if cond() {
			return
		}
	}
	p.Fatalf("%s: not within 15 s", what)
}

// testCase is one promise. Only names the one engine that it applies to.
type testCase struct {
	name string
	only string
	// runcFails says why Debian's runc 1.1 fails the case on such a machine; with keel the
	// case must pass.
	runcFails string
	run       func(p *probe)
}

func runCases(t *testing.T, e *engine) {
	for _, group := range [][]testCase{ioCases, lifeCases, execCases, limitCases, securityCases, mountCases, namespaceCases, engineCases} {
		for _, c := range group {
			if c.only != "" && c.only != e.name {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				if c.runcFails != "" && e.isRunc() {
					t.Skipf("runc fails here: %s", c.runcFails)
				}
				c.run(&probe{t, e})
			})
		}
	}
}

// requireEngines skips unless the suite was asked for, and fails when it was and cannot run.
func requireEngines(t *testing.T, programs ...string) (runtime string) {
	t.Helper()
	if os.Getenv("HULL_TEST_ENGINES") == "" {
		t.Skip("HULL_TEST_ENGINES is not set (make engines sets it)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("engines need root")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed; .ci/run lists the packages", p)
		}
	}
	name := os.Getenv("HULL_TEST_RUNTIME")
	if name == "" {
		name = "bin/keel"
	}
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join("../..", name) // relative to the repository, where make runs
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("finding the runtime: %v (make build)", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRootDocker(t *testing.T) {
	runtime := requireEngines(t, "dockerd", "docker", "containerd", "containerd-shim-runc-v2", "busybox")
	e := startDocker(t, runtime, "")
	runCases(t, e)
	t.Run("fixture", func(t *testing.T) { dockerFixture(&probe{t, e}) })
}

// TestRootDockerUserns runs a few cases on a dockerd that maps all ids (--userns-remap).
func TestRootDockerUserns(t *testing.T) {
	runtime := requireEngines(t, "dockerd", "docker", "containerd", "containerd-shim-runc-v2", "busybox")
	e := startDocker(t, runtime, "daemon")
	for _, c := range usernsCases {
		t.Run(c.name, func(t *testing.T) { c.run(&probe{t, e}) })
	}
}

func TestRootPodman(t *testing.T) {
	runtime := requireEngines(t, "podman", "conmon", "busybox")
	runCases(t, startPodman(t, runtime))
}
