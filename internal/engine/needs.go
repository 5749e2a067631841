package engine

import (
	"context"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
)

// Shims starts and finds shims: *shim.Launcher, whose documentation holds here.
type Shims interface {
	Create(ctx context.Context, r shim.Request) (Shim, error)
	Connect(ctx context.Context, id string) (Shim, error)
	Sweep(ctx context.Context, id string) (shim.Exit, error)
	IDs() ([]string, error)
	Forget(id string) error
}

// Shim is the connection to one container's supervisor: *shim.Shim.
type Shim interface {
	Pid() int
	PidFD() *os.File
	Done() <-chan struct{}
	Subscribe(f func(shim.Event))
	Info(ctx context.Context) (shim.Info, error)
	Start(ctx context.Context) error
	Signal(ctx context.Context, execID string, sig unix.Signal, all bool) error
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	Update(ctx context.Context, resources []byte) error
	Stats(ctx context.Context) ([]byte, error)
	Processes(ctx context.Context) ([]int, error)
	Resize(ctx context.Context, execID string, width, height uint16) error
	CloseStdin(ctx context.Context, execID string) error
	Exec(ctx context.Context, r shim.ExecRequest) (pid int, s Stream, err error)
	OpenStream(ctx context.Context, execID string, stdin, stdout, stderr bool, patience time.Duration) (Stream, error)
	Wait(ctx context.Context, execID string) (shim.Exit, error)
	Delete(ctx context.Context) error
	Close() error
}

// Stream is one client's end of a process's input and output: *shim.Stream.
type Stream interface {
	Next(buf []byte) (stream byte, data []byte, err error)
	Write(p []byte) (int, error)
	CloseWrite() error
	Close() error
}

// Images finds images.
type Images interface {
	// Find takes a name, a digest or an ID. ErrNotFound has Docker's text.
	Find(ctx context.Context, name string) (*image.Image, error)
	// Hold is Find, and keeps the image's layers until release. base names them for Roots.
	Hold(ctx context.Context, name string) (img *image.Image, base string, release func(), err error)
	// HoldChain keeps layers, also those that no image has any more.
	HoldChain(chain image.ChainID) (base string, release func(), err error)
	Commit(ctx context.Context, o image.CommitOptions) (image.ID, error)
}

// Roots makes root file systems: an image's layers and a container's writable layer on top, which is
// in the container's directory (upper, work). They are mounted nowhere: they live by their descriptor.
type Roots interface {
	// Make makes the writable layer in dir, before the first Mount.
	Make(ctx context.Context, base, dir string) error
	// Mount mounts all of it. users has the ids that are seen inside; nil: the host's. Volatile: nothing
	// is kept when the host fails, so that nothing is synced (--rm).
	Mount(ctx context.Context, base, dir string, users *os.File, volatile bool) (*os.File, error)
	// Image mounts the image's files alone, read-only, with the ids that they have on disk.
	Image(ctx context.Context, base string) (*os.File, error)
	// Usage is how many bytes the writable layer has.
	Usage(ctx context.Context, dir string) (int64, error)
	// Changes tells what is different in the writable layer from the image, but for leaveOut (paths without
	// a slash at either end).
	Changes(ctx context.Context, base, dir string, leaveOut map[string]bool, tell func(Change) error) error
	// Diff writes the writable layer as an image's layer.
	Diff(ctx context.Context, base, dir string, leaveOut map[string]bool, w io.Writer) error
	// Remove deletes a container's directory, whatever a container made of what is in it.
	Remove(dir string) error
}

// Users are user namespaces with a mapping, prepared ahead.
type Users interface {
	// Open gives a namespace in which ids 0 to ids.Size-1 are ids.Host and on. The caller closes it.
	Open(ctx context.Context, ids spec.IDRange) (*os.File, error)
}

// Networks connects containers. Modes none, host and container:… never come here.
type Networks interface {
	// Resolve checks what a new container asks for, and gives it under the networks' names.
	Resolve(ctx context.Context, r NetworkRequest) (map[string]*network.EndpointSettings, error)
	// Attach connects a container that is created and does not run yet, in its network namespace.
	Attach(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error)
	// NameOf is the name of the network with this name, ID or beginning of an ID.
	NameOf(network string) (string, error)
	// Look says how a running container is connected. r.Endpoints is what it asked for.
	Look(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error)
	// Connect connects a running container to one more network; r.Endpoints has that too. Published ports
	// go where the container's default route goes.
	Connect(ctx context.Context, r NetworkRequest, network string, netns *os.File) (Attached, error)
	// Disconnect is the opposite; r.Endpoints does not have the network any more.
	Disconnect(ctx context.Context, r NetworkRequest, network string, netns *os.File) (Attached, error)
	// Publish brings the published ports of a running container in line with r.Host.
	Publish(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error)
	// Rename makes a running container known by another name, r.Name.
	Rename(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error)
	// Detach forgets the container's endpoints. Their devices go with the namespace.
	Detach(ctx context.Context, id ID) error
	// Restore is called once, before all others, with the containers that ran when hulld stopped.
	Restore(ctx context.Context, running []Connected) error
}

// Connected is a container that was connected before a restart.
type Connected struct {
	ID    ID
	Pid   int    // of its init, if it still runs
	State []byte // of Attached
}

// NetworkRequest is a container as Networks see it.
type NetworkRequest struct {
	ID        ID
	Name      string
	Config    *container.Config
	Host      *container.HostConfig
	Endpoints map[string]*network.EndpointSettings // by network
	Links     map[string]ID                        // alias → another container
	Had       map[string]Had                       // by network
}

// Had is what a container had in a network when it last ran. It gets the same again if it can.
type Had struct {
	IPv4, IPv6 netip.Addr
}

// Attached is how a container is connected.
type Attached struct {
	Endpoints map[string]*network.EndpointSettings
	Ports     network.PortMap
	Hosts     []byte // /etc/hosts, with the names of the container itself
	Resolv    []byte // /etc/resolv.conf
	State     []byte // for the record: what Restore needs
}

// Volumes are the named and anonymous volumes.
type Volumes interface {
	// Want finds the volume of a new container's mount, or makes it, and fills in m's Name, Source and
	// Driver. The volume is in use by the container from then on.
	Want(ctx context.Context, user ID, m *Mount) error
	// Restore says that a container from before a restart uses a volume, and has it mounted.
	Restore(user ID, m Mount, mounted bool) error
	// Open makes the volume ready for a container that starts. An empty one gets what the image has at
	// the destination, unless image is nil.
	Open(ctx context.Context, user ID, m Mount, image func(context.Context) (*os.File, error)) (VolumeHandle, error)
	// Close is the opposite of Open.
	Close(user ID, m Mount)
	// Leave ends the container's use of the volume, and removes it when it is asked to and nobody else
	// uses it.
	Leave(user ID, m Mount, remove bool)
	// Settle is called when Restore was called for all.
	Settle()
}

// VolumeHandle is a volume that is ready. Whoever got it calls Release when the container is created.
type VolumeHandle struct {
	Path    string
	File    *os.File
	Network bool // the files are on another machine and cannot be id-mapped
	Release func()
}

// Logs are what containers print.
type Logs interface {
	// Config says how a new container's log is written, from v.Host.LogConfig. Errors have Docker's
	// texts.
	Config(v *View) (logfile.Config, error)
	// Read calls f with the entries that are wanted.
	Read(ctx context.Context, c logfile.Config, q LogQuery, f func(LogEntry) error) error
	// Compress compresses rotated files. It may be cut off.
	Compress(ctx context.Context, c logfile.Config) error
}

// LogEntry is one line of a log, with what --log-opt labels and env add to it (a JSON object, or nil).
// Line has its newline.
type LogEntry struct {
	logfile.Entry
	Attrs []byte
}

// LogQuery says which entries of a log are wanted.
type LogQuery struct {
	Tail         int // entries from the end; negative: all
	Since, Until time.Time
	Follow       bool
	Done         <-chan struct{} // closed when the container ended: following ends there
}

// StreamRoom is how long the buffer for a Stream's Next must be.
const StreamRoom = 40 << 10

// Change is one difference between a container and its image.
type Change struct {
	Kind int    // 0 changed, 1 added, 2 deleted: Docker's numbers
	Path string // absolute
}
