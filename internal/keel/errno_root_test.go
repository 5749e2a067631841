//go:build amd64

package keel

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootAnyCallFails makes each system call of a verb fail once. Either the verb does without
// (a cache, a close), and the container works; or it says so in one sentence and has left
// nothing behind that it made.
func TestRootAnyCallFails(t *testing.T) {
	bundle := func(verb ...string) func(sc *scene) []string {
		return func(sc *scene) []string { return append(verb, "-b", sc.bundle, "c") }
	}
	for _, tc := range []struct {
		name    string
		side    side
		prepare func(sc *scene)
		args    func(sc *scene) []string
		becomes string // status after success
		keeps   bool   // the container is there after a failure
	}{
		{"create", parent, nil, bundle("create"), "created", false},
		{"create child", child, nil, bundle("create"), "created", false},
		{"run", parent, nil, bundle("run", "-d"), "running", false},
		{"run child", child, nil, bundle("run", "-d"), "running", false},
		{"start", parent, func(sc *scene) { sc.create("c") }, func(*scene) []string { return []string{"start", "c"} }, "running", true},
		{"exec", parent, runningScene, func(sc *scene) []string { return []string{"exec", "-d", "c", "/bin/busybox", "true"} }, "running", true},
		{"exec child", child, runningScene, func(sc *scene) []string { return []string{"exec", "-d", "c", "/bin/busybox", "true"} }, "running", true},
		{"delete", parent, runningScene, func(*scene) []string { return []string{"delete", "--force", "c"} }, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := newScene(t, rich)
			refused := 0
			steps(t, func(at int) bool {
				if tc.prepare != nil {
					tc.prepare(sc)
				}
				tr := &tracer{side: tc.side, at: at, errno: syscall.Errno(unix.EIO)}
				tr.run(t, append([]string{sc.keel, "--root", sc.state}, tc.args(sc)...))
				what := tc.name + " with an error at " + tr.hit
				switch code := tr.status.ExitStatus(); {
				case !tr.status.Exited() || strings.Contains(tr.stderr, "goroutine "):
					t.Errorf("%s: wait status %#x, %s", what, tr.status, tr.stderr)
				case code == 0 && tc.becomes != "":
					// Once it has said "created", the child's failure is that of start.
					if s, _ := sc.status("c"); s != tc.becomes && !(tc.name == "create child" && s == "stopped") {
						t.Errorf("%s: success, and the container is %s; want %s", what, s, tc.becomes)
					}
				case code != 0:
					refused++
					if strings.Count(tr.stderr, "keel: ") != 1 || !strings.HasPrefix(tr.stderr, "keel: ") && !strings.Contains(tr.stderr, "\nkeel: ") {
						t.Errorf("%s: status %d, %q; want one sentence", what, code, tr.stderr)
					}
					if !tc.keeps {
						sc.clean(what)
					}
				}
				if _, errs, code := sc.run("delete", "--force", "c"); code != 0 {
					t.Errorf("%s: delete --force: status %d, %s", what, code, errs)
				}
				sc.clean(what)
				return tr.hit != "" && (!t.Failed() || everyStep)
			})
			if refused == 0 {
				t.Error("no call made the verb fail")
			}
		})
	}
}
