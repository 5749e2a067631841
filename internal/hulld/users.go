package hulld

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/spec"
)

// users makes user namespaces.
type users struct{}

const thereNow = 1 // what the member of a new namespace says when it is there

// Open implements engine.Users. A namespace needs a member while its maps are written: a child that
// does nothing but wait, and ends with this process.
func (users) Open(_ context.Context, ids spec.IDRange) (*os.File, error) {
	var hold [2]int
	if err := unix.Pipe2(hold[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(hold[1])
	p := launch.New()
	p.Doing("wait", "in a new user namespace")
	p.Notify(thereNow, 0)
	_, b := p.Mem(1)
	p.Call("read", unix.SYS_READ, p.FD(hold[0], "hold"), b, launch.Int(1))
	p.Exit(0)
	child, err := p.Start(launch.Clone{Flags: unix.CLONE_NEWUSER})
	unix.Close(hold[0])
	if err != nil {
		return nil, fmt.Errorf("cloning into a user namespace: %w", err)
	}
	defer child.Kill()
	if _, err := child.Next(); err != nil {
		return nil, fmt.Errorf("starting the member of a user namespace: %w", err)
	}
	proc := "/proc/" + strconv.Itoa(child.Pid)
	for _, name := range []string{"/uid_map", "/gid_map"} {
		if err := os.WriteFile(proc+name, fmt.Appendf(nil, "0 %d %d\n", ids.Host, ids.Size), 0); err != nil {
			return nil, fmt.Errorf("mapping the ids of a user namespace: %w", err)
		}
	}
	return os.Open(proc + "/ns/user")
}
