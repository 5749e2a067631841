package ociruntime

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const tail = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	want := func(state byte) procStat { return procStat{state: state, flags: 6, threads: 17, start: 4711} }
	for _, c := range []struct {
		stat string
		want procStat
		ok   bool
	}{
		{"7 (sleep) S" + tail, want('S'), true},
		{"7 (a) R 1 (b) Z) Z" + tail, want('Z'), true}, // a name that looks like fields
		{"7 (sleep) S 1 2 3", procStat{}, false},
		{"", procStat{}, false},
		{"7 (sleep) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20", procStat{}, false},
	} {
		if got, ok := parseStat(c.stat); ok != c.ok || ok && got != c.want {
			t.Errorf("parseStat(%q) = %+v %v, want %+v %v", c.stat, got, ok, c.want, c.ok)
		}
	}
}

// child starts a program and returns a container whose init it is.
func child(t *testing.T, name string, args ...string) (*Container, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return &Container{State: State{ID: "c", InitPid: cmd.Process.Pid, InitStart: start, Namespaces: unix.CLONE_NEWPID}, r: &Runtime{}, dir: t.TempDir()}, cmd
}

func TestStatusFollowsInit(t *testing.T) {
	c, cmd := child(t, "/bin/sleep", "60")
	if s := c.Status(); s != StatusRunning || c.Pid() != cmd.Process.Pid {
		t.Errorf("a live process without a start FIFO: %s, pid %d", s, c.Pid())
	}
	if err := os.WriteFile(c.dir+"/"+startFifo, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); s != StatusCreated {
		t.Errorf("with a start FIFO: %s", s)
	}
	reused := *c
	reused.InitStart++ // another process that has got the number
	if s := reused.Status(); s != StatusStopped {
		t.Errorf("a process with another start time: %s", s)
	}
	if err := reused.Kill(unix.SIGKILL, false); err != ErrNotRunning {
		t.Errorf("kill of a reused pid: %v, want %v", err, ErrNotRunning)
	}
	if !c.alive() {
		t.Fatal("the signal for a stopped container hit a stranger")
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(c.InitPid, 0) // not waited for: a zombie
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := c.waitDead(fd, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); s != StatusStopped || c.Pid() != 0 {
		t.Errorf("a zombie: %s, pid %d; want stopped, 0", s, c.Pid())
	}
	if err := c.Kill(unix.SIGTERM, false); !errors.Is(err, ErrNotRunning) {
		t.Errorf("kill of a zombie: %v", err)
	}
}

func TestWaitDeadGivesUp(t *testing.T) {
	c, _ := child(t, "/bin/sleep", "60")
	fd, err := c.initFD()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := c.waitDead(fd, 10*time.Millisecond); err == nil || err.Error() != "container init still running" {
		t.Errorf("a process that goes on: %v", err)
	}
}
