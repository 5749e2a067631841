package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// record is exit.json.
type record struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Pid      int       `json:"pid"`
	Code     int       `json:"code"`
	Signal   int       `json:"signal"`
	OOM      bool      `json:"oom"`
	OOMKills uint64    `json:"oomKills"`
	At       time.Time `json:"at"`
	Err      string    `json:"error,omitempty"`
}

// maxRecord bounds the small files of a container's directory, in bytes.
const maxRecord = 64 << 10

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

// readExit reads the exit record; nil when there is none.
func readExit(dir string) *Exit {
	b, err := readSmall(filepath.Join(dir, exitFile))
	if err != nil {
		return nil
	}
	return parseExit(b)
}

func parseExit(b []byte) *Exit {
	var r record
	if json.Unmarshal(b, &r) != nil || r.Version != 1 {
		return nil
	}
	return &Exit{Code: r.Code, Signal: r.Signal, OOM: r.OOM, OOMKills: r.OOMKills, At: r.At, Err: r.Err}
}

// processID names a process for good.
type processID struct {
	pid   int
	start uint64 // field 22 of /proc/PID/stat
}

// readPid reads shim.pid: the shim, and the command line of its container's runtime.
func readPid(dir string) (processID, []string, error) {
	b, err := readSmall(filepath.Join(dir, pidFile))
	if err != nil {
		return processID{}, nil, err
	}
	id, command, ok := parsePid(string(b))
	if !ok {
		return processID{}, nil, fmt.Errorf("%s is damaged", filepath.Join(dir, pidFile))
	}
	return id, command, nil
}

func parsePid(text string) (id processID, command []string, ok bool) {
	first, rest, ok := strings.Cut(text, "\n")
	pid, start, ok2 := strings.Cut(first, " ")
	if !ok || !ok2 {
		return id, nil, false
	}
	var err1, err2 error
	id.pid, err1 = strconv.Atoi(pid)
	id.start, err2 = strconv.ParseUint(start, 10, 64)
	if err1 != nil || err2 != nil || id.pid <= 1 {
		return id, nil, false
	}
	for line := range strings.Lines(rest) {
		command = append(command, strings.TrimSuffix(line, "\n"))
	}
	return id, command, true
}

// open returns a pidfd of the process, or unix.ESRCH when it has ended.
func (p processID) open() (int, error) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return -1, unix.ESRCH
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
	if f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])); err != nil || len(f) < 20 || f[19] != strconv.FormatUint(p.start, 10) || f[0] == "Z" {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

func (p processID) alive() bool {
	fd, err := p.open()
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// Sweep ends what a shim that was killed has left: the container's processes, its cgroup, the
// runtime's state. A shim that lives is killed first. It returns how the container ended: by the
// exit record, or, when there is none, with status 137 and an Err that says why; then that is
// the record.
func (l *Launcher) Sweep(ctx context.Context, id string) (Exit, error) {
	dir, err := l.dir(id)
	if err != nil {
		return Exit{}, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	pid, command, err := readPid(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Exit{}, fmt.Errorf("sweep container %s: %w", id, err)
	}
	if err == nil {
		if err := pid.kill(ctx); err != nil {
			return Exit{}, fmt.Errorf("sweep container %s: %w", id, err)
		}
	}
	if len(command) == 0 {
		command = []string{l.program(), "--root", filepath.Join(l.state, "keel")}
	}
	c := exec.CommandContext(ctx, command[0], append(command[1:], "delete", "--force", id)...)
	c.Env = environment()
	c.WaitDelay = time.Second
	if out, err := c.CombinedOutput(); err != nil && !strings.Contains(string(out), "does not exist") {
		return Exit{}, fmt.Errorf("sweep container %s: %w: %s", id, err, strings.TrimSpace(string(out)))
	}
	e := readExit(dir)
	if e == nil {
		e = &Exit{Code: 137, Signal: 9, At: time.Now().UTC(), Err: "the container's shim was killed, and the container with it" + lastWords(dir)}
		if err := writeRecord(dir, id, e); err != nil && !errors.Is(err, os.ErrNotExist) {
			return *e, fmt.Errorf("sweep container %s: %w", id, err)
		}
	}
	os.Remove(filepath.Join(dir, socketFile))
	os.Remove(filepath.Join(dir, pidFile))
	return *e, nil
}

// lastWords is what the shim's runtime has printed when it ended on its own.
func lastWords(dir string) string {
	b, _ := readSmall(filepath.Join(dir, errFile))
	first, _, _ := strings.Cut(string(b), "\n")
	if first == "" {
		return ""
	}
	return ": " + strings.ToValidUTF8(first[:min(len(first), 300)], "?")
}

// kill ends the process and waits for that.
func (p processID) kill(ctx context.Context) error {
	fd, err := p.open()
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill the shim, process %d: %w", p.pid, err)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); n > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill the shim, process %d: %w", p.pid, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func writeRecord(dir, id string, e *Exit) error {
	b, err := json.Marshal(record{Version: 1, ID: id, Code: e.Code, Signal: e.Signal, OOM: e.OOM, OOMKills: e.OOMKills, At: e.At, Err: e.Err})
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "."+exitFile)
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, exitFile))
}
