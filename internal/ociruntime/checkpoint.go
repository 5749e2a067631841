package ociruntime

import (
	"errors"
	"fmt"
	"os"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/criu"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CriuOptions are those that checkpoint and restore share. They are criu's: see criu(8).
type CriuOptions struct {
	Images string // directory of the image files
	Work   string // directory of logs and statistics; "": Images

	TCPEstablished, ExtUnixSk, ShellJob, FileLocks, AutoDedup, LazyPages bool

	CgroupMode criu.CgroupMode
	EmptyNS    uint32 // CLONE_NEW* flags
}

// CheckpointOptions say how a container is written to files.
type CheckpointOptions struct {
	CriuOptions
	Parent                     string // images of the pre-dump before, relative to Images
	PreDump                    bool   // memory only; the container goes on
	LeaveRunning               bool
	TCPSkipInFlight, LinkRemap bool
	PageServer                 *criu.PageServer
	StatusFD                   int // gets a zero byte when lazy pages can be served; -1: none
}

const (
	dumpLog         = "dump.log"
	descriptorsFile = "descriptors.json"
)

// Checkpoint writes the processes of a running or paused container to files, and then deletes
// the container, unless it shall go on. After a failure the container goes on.
func (c *Container) Checkpoint(o CheckpointOptions) error {
	was := c.Status()
	if was == StatusCreating || was == StatusCreated || was == StatusStopped {
		return fmt.Errorf("Container cannot be checkpointed in %s state", was)
	}
	err := c.checkpoint(o)
	if err != nil && was == StatusRunning {
		err = errors.Join(err, c.thawLeft())
	}
	if err != nil {
		return fmt.Errorf("checkpoint container %s: %w", c.ID, err)
	}
	return nil
}

func (c *Container) checkpoint(o CheckpointOptions) error {
	var undo undoList
	defer undo.closeFDs()
	spec, err := c.Config()
	if err != nil {
		return err
	}
	init, err := c.initFD()
	if err != nil {
		return err
	}
	undo.fd(init)
	files, err := openFiles(o.Images, o.Work, true, &undo)
	if err != nil {
		return err
	}
	want := criu.Features{MemTrack: o.PreDump, LazyPages: o.LazyPages}
	if want != (criu.Features{}) {
		if err := c.r.checkFeatures(want); err != nil {
			return err
		}
	}
	if o.LazyPages && o.StatusFD >= 0 {
		if err := checkStatusFD(o.StatusFD); err != nil {
			return err
		}
	}
	opts := o.options(files, dumpLog)
	opts.Pid = c.InitPid
	opts.Root = c.Rootfs
	opts.LeaveRunning, opts.TCPSkipInFlight, opts.LinkRemap = o.LeaveRunning, o.TCPSkipInFlight, o.LinkRemap
	opts.ParentImages, opts.TrackMem = o.Parent, o.Parent != ""
	opts.PageServer = o.PageServer
	opts.FreezeCgroup = freezerDir(c.Cgroups)
	opts.ConfigFile = criuConfig(c.Annotations)
	if opts.External, err = externalNamespaces(spec.Linux.Namespaces); err != nil {
		return err
	}
	kind := criu.PreDump
	if !o.PreDump {
		kind = criu.Dump
		if opts.ExternalMounts, err = c.dumpMounts(&spec.Spec, &undo); err != nil {
			return err
		}
		if err := c.writeDescriptors(files.images); err != nil {
			return err
		}
	}
	files.forget(dumpLog)
	server, err := c.r.startCriu(criuStart{})
	if err != nil {
		return err
	}
	if err = server.version(); err == nil {
		_, err = server.conn.Do(kind, opts, func(n criu.Notice) error {
			if n.Script == "status-ready" && o.StatusFD >= 0 {
				unix.Write(o.StatusFD, []byte{0}) // who does not listen any more does not need it
				unix.Close(o.StatusFD)
			}
			return nil
		})
	}
	ws := server.end() // after a pre-dump criu waits for the next one: hanging up is how it ends
	if err != nil {
		return files.explain(err, dumpLog, ws)
	}
	if o.LeaveRunning || o.PreDump {
		return nil
	}
	if err := c.waitDead(init, killTimeout); err != nil {
		return err
	}
	return c.Delete(true)
}

// options are criu's for both directions.
func (o *CriuOptions) options(f criuFiles, log string) *criu.Options {
	return &criu.Options{
		ImagesDir: f.images, WorkDir: f.work, LogLevel: 4, LogFile: log, NotifyScripts: true,
		TCPEstablished: o.TCPEstablished, ExtUnixSk: o.ExtUnixSk, ShellJob: o.ShellJob, FileLocks: o.FileLocks,
		AutoDedup: o.AutoDedup, LazyPages: o.LazyPages, OrphanPtsMaster: true, CgroupMode: o.CgroupMode, EmptyNS: o.EmptyNS,
	}
}

// thawLeft lets a container go on that a criu which died has left frozen, or about to be.
func (c *Container) thawLeft() error {
	g, err := c.cgroup()
	if err != nil {
		return err
	}
	if s, err := g.State(); err != nil || s != cgroup.Frozen && s != cgroup.Freezing {
		return err
	}
	return g.Thaw()
}

func checkStatusFD(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("invalid --status-fd argument %d: %w", fd, err)
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return fmt.Errorf("invalid --status-fd argument %d: not writable", fd)
	}
	return nil
}

// freezerDir is the cgroup by which criu stops all processes at once; without one it stops them
// one after the other.
func freezerDir(paths map[string]string) string {
	if d := paths["freezer"]; d != "" {
		return d
	}
	return paths[""]
}

// externalNamespaces names the network and pid namespaces that were joined by path: they are not
// the container's to dump. A restore finds them by the same key.
func externalNamespaces(list []specs.LinuxNamespace) ([]string, error) {
	var out []string
	for i, n := range list {
		key := namespaceKey(n.Type)
		if n.Path == "" || key == "" {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(n.Path, &st); err != nil {
			return nil, fmt.Errorf("linux.namespaces[%d].path %s: %w", i, n.Path, err)
		}
		kind := "net"
		if n.Type == specs.PIDNamespace {
			kind = "pid"
		}
		out = append(out, kind+"["+itoa(st.Ino)+"]:"+key)
	}
	return out, nil
}

// namespaceKey is runc's name for a namespace that is not dumped, "" for those that criu joins.
func namespaceKey(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.NetworkNamespace:
		return "extRootNetNS"
	case specs.PIDNamespace:
		return "extRootPidNS"
	}
	return ""
}

// writeDescriptors leaves the record of standard descriptors beside the images, as runc does.
func (c *Container) writeDescriptors(dir int) error {
	names := c.Descriptors
	if names == nil {
		names = []string{}
	}
	w := ocispec.Writer{}
	w.Strings(names)
	fd, err := unix.Openat(dir, descriptorsFile, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == nil {
		f := os.NewFile(uintptr(fd), descriptorsFile)
		_, err = f.Write(w.B)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s beside the images: %w", descriptorsFile, err)
	}
	return nil
}
