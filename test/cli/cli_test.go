// Package cli runs hull and a docker client side by side, and compares what they ask of a daemon,
// what they print and how they end.
//
//	make cli
//	HULL_TEST_CLI=1 HULL_BIN=$PWD/bin go test ./test/cli -v
//
// TestRootRequests needs no daemon and no root (its name keeps it out of `make test`): an engine
// of a few lines stands in, which takes every request down. The bodies must agree field by field.
// The others need root, Debian's dockerd with directories of its own and no bridge, and busybox.
// Where hull differs on purpose, the case says why.
package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// result is what one command did.
type result struct {
	out, err string
	code     int
}

func requires(t *testing.T) {
	t.Helper()
	if os.Getenv("HULL_TEST_CLI") == "" {
		t.Skip("HULL_TEST_CLI is not set (make cli)")
	}
}

// hull is the program under test.
func hull(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("HULL_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	path, err := filepath.Abs(filepath.Join(dir, "hull"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// docker is the newest docker client here: the one under test speaks the API of today.
func docker(t *testing.T) string {
	t.Helper()
	for _, path := range []string{os.Getenv("DOCKER_CLI"), "/usr/local/bin/docker", "/usr/bin/docker"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("no docker client")
	return ""
}

// recent skips a test that compares with docker's messages when there is only a client whose
// messages are others, as Debian 12's is.
func recent(t *testing.T) {
	t.Helper()
	out, err := exec.Command(docker(t), "version", "--format", "{{.Client.Version}}").Output()
	major, _, _ := strings.Cut(string(out), ".")
	if n, err2 := strconv.Atoi(major); err2 != nil || n < 28 {
		t.Skipf("docker's client is %q (%v), want 28 or newer ($DOCKER_CLI names one)", strings.TrimSpace(string(out)), err)
	}
}

// client is a program with the daemon that it speaks to.
type client struct {
	program, host, dir, config string
	env                        []string
}

// run runs one command; stdin may be nil.
func (c *client) run(stdin []byte, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.config, "DOCKER_HOST=" + c.host, "DOCKER_CONFIG=" + c.config, "FROM_HERE=yes"}, c.env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	r := result{out: out.String(), err: errOut.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		r.code, r.err = -1, err.Error()
	}
	return r
}

// words splits a command line at blanks; single quotes keep blanks.
func words(line string) []string {
	var all []string
	word, quoted, some := "", false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, some = !quoted, true
		case r == ' ' && !quoted:
			if some || word != "" {
				all = append(all, word)
			}
			word, some = "", false
		default:
			word += string(r)
		}
	}
	if some || word != "" {
		all = append(all, word)
	}
	return all
}

// ours is docker's text with the program's own name in it.
func ours(text string) string {
	text = regexp.MustCompile(`\b(docker)( |:|\n)`).ReplaceAllString(text, "hull$2")
	return strings.ReplaceAll(text, "'docker ", "'hull ")
}
