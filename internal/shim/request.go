package shim

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/shim/wire"
)

// DefaultTimeout bounds a call whose context has no deadline.
const DefaultTimeout = 30 * time.Second

// Request is a container to create.
type Request struct {
	ID     string
	Config []byte // OCI config.json. Whether there is a terminal, and how large, is its process.terminal and process.consoleSize

	// Root is a detached mount, the container's root; nil: root.path of Config. With a Root,
	// root.path counts for nothing with our own runtime, and must be "rootfs" for others.
	Root *os.File
	// UserNS is the user namespace to join; nil: as Config says. Config has
	// {"type":"user"} without a path and the mappings of this namespace.
	UserNS *os.File

	OpenStdin bool // standard input is a pipe that clients can write to; else /dev/null
	StdinOnce bool // it ends with that of the first client that gave any

	Log           logfile.Config
	Runtime       []string // command line of another OCI runtime, its own global options included; nil: keel
	SystemdCgroup bool     // make cgroups through systemd
	NoPivot       bool     // chroot in place of pivot_root (a host on a ramdisk)
}

// What a container's init does.
const (
	Creating = wire.Creating
	Created  = wire.Created
	Running  = wire.Running
	Paused   = wire.Paused
	Stopped  = wire.Stopped
)

// Types that both ends of the protocol have; their documentation is in package wire.
type (
	Status    = wire.Status
	Info      = wire.Info
	ExecInfo  = wire.ExecInfo
	Exit      = wire.Exit
	Event     = wire.EventBody
	EventKind = wire.EventKind
)

// What a shim tells without being asked.
const (
	EventOOM      = wire.EventOOM
	EventExecExit = wire.EventExecExit
	EventExit     = wire.EventExit
	EventGone     = wire.EventGone
	EventLost     = wire.EventLost // call [Launcher.Sweep]
)

// ExecRequest is a process to add to a running container.
type ExecRequest struct {
	ID                    string // chosen by the caller, new for each exec of this container
	Process               []byte // OCI process, as config.json has it: args, env, cwd, user, capabilities, terminal, consoleSize
	Stdin, Stdout, Stderr bool   // wanted streams; the others are /dev/null
	Patience              time.Duration
}

// AttachRequest is a client of a process's input and output.
type AttachRequest struct {
	ExecID string // "": init
	// Stdin is copied to the process until it ends; nil: none. With a terminal, or without
	// StdinOnce, its end does not end the process's input.
	Stdin          io.Reader
	Stdout, Stderr io.Writer // nil: not wanted
	Patience       time.Duration
}

// Patience of a client that the process's output waits for as long as it takes, as Docker's
// does. With 0, a client that does not keep up, by [StreamBuffer] bytes, is cut off with a
// notice; with a positive time, when it has taken nothing for that long. Output that waits
// stops the process when its pipe is full, and the log with it. So: Patient for who started the
// container or the exec and must get every byte (`run … | gzip`), 0 for who joined later.
const Patient time.Duration = -1

// StreamBuffer is how much output the kernel keeps for a client that does not read, in bytes.
const StreamBuffer = 512 << 10

// Errors that a caller tells apart.
var (
	// ErrGone: the shim has ended. A *[GoneError] has the exit record.
	ErrGone = errors.New("the container's shim has ended")
	// ErrNotFound: no such exec process, or no container with this id was ever created.
	ErrNotFound = errors.New("not found")
	// ErrState: the container is not in a state for this (start of a running one, exec in a paused one).
	ErrState = errors.New("not in this state")
	// ErrTimeout is also context.DeadlineExceeded.
	ErrTimeout = errors.New("the container's shim does not answer")
)

// GoneError says that the shim has ended.
type GoneError struct {
	ID   string
	Exit *Exit // nil: there is no exit record, and [Launcher.Sweep] is called for
}

func (e *GoneError) Error() string {
	if e.Exit == nil {
		return "the shim of container " + e.ID + " has ended without saying how the container did"
	}
	return "the shim of container " + e.ID + " has ended"
}

// Is makes it an [ErrGone].
func (e *GoneError) Is(target error) bool { return target == ErrGone }
