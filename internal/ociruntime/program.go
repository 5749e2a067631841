package ociruntime

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// runTool runs a program of the host that the runtime needs for itself, found in the caller's
// $PATH, with nothing in its environment. The error has what the program printed.
func runTool(name string, args ...string) error {
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	p := newPlanner()
	p.Doing("execute", name)
	for fd, from := range [3]int{null, out[1], out[1]} {
		p.Call("dup3", unix.SYS_DUP3, p.FD(from, "given"), launch.Int(fd), launch.Int(0))
	}
	candidates := lookPath(name, []string{"PATH=" + os.Getenv("PATH")})
	argv, env := p.Strs(append([]string{name}, args...)), p.Strs(nil)
	for i, c := range candidates {
		s := p.Call("execve", unix.SYS_EXECVE, p.Str(c), argv, env)
		if i < len(candidates)-1 {
			s.Ok(eNOENT, eNOTDIR, eACCES)
		}
	}
	var child *launch.Child
	if err == nil {
		child, err = p.Start(launch.Clone{})
	}
	unix.Close(out[1])
	unix.Close(null)
	reader := os.NewFile(uintptr(out[0]), name)
	defer reader.Close()
	if err != nil {
		return err
	}
	defer child.Close()
	_, failed := child.Next()
	text, _ := io.ReadAll(io.LimitReader(reader, 4096))
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(child.Pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	if failed != io.EOF {
		return failed
	}
	if !ws.Exited() || ws.ExitStatus() != 0 {
		return fmt.Errorf("%s failed: %s", name, strings.TrimSpace(string(text)))
	}
	return nil
}
