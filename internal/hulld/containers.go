package hulld

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	types "github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/network"
	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/snapshot"
	"github.com/hull-dev/hull/internal/spec"
	"github.com/hull-dev/hull/internal/unpack"
)

// containers are the engine and what /info says of it.
type containers struct {
	*engine.Engine
	info     types.Info
	closeAll func() error

	// What the builder shares with the engine. host is nil when there are no networks.
	launcher *shim.Launcher
	host     *network.Host
	facts    *spec.Facts
	log      *slog.Logger
}

// openEngine opens the containers. keel is the runtime's path.
func openEngine(ctx context.Context, c Config, s *store, bus *events.Bus, log *slog.Logger) (_ *containers, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for keel beside hulld: %w", err)
	}
	keel, initPath := cmp.Or(c.Keel, filepath.Join(filepath.Dir(self), "keel")), cmp.Or(c.InitPath, filepath.Join(filepath.Dir(self), "hull-init"))
	launcher, err := shim.OpenLauncher(keel, c.StateDir)
	if err != nil {
		return nil, err
	}
	facts, err := spec.ReadFacts()
	if err != nil {
		return nil, errors.Join(err, launcher.Close())
	}
	facts.UserNS = c.UserNS != "host"
	facts.DefaultRuntime, facts.Runtimes = "keel", append(slices.Sorted(maps.Keys(c.Runtimes)), "keel")
	vols, err := openVolumes(s.volumes, c.StateDir, log)
	if err != nil {
		return nil, errors.Join(err, launcher.Close())
	}
	host, nets := openNetworks(c, log)
	closeOthers := func() error {
		err := launcher.Close()
		if host != nil {
			err = errors.Join(err, host.Close())
		}
		return err
	}
	e, err := engine.Open(ctx, engine.Options{
		DataRoot: c.DataRoot, StateDir: c.StateDir,
		Shims: shims{launcher}, Images: s.images, Roots: roots{s.snaps}, Users: users{}, Logs: logs{}, Volumes: vols, Networks: nets,
		Log: log, Bus: bus, Facts: facts, Driver: s.driver, At: failpoint(os.Getenv("HULL_FAILPOINT")),
		Defaults: engine.Defaults{UserNS: c.UserNS, LogDriver: c.LogDriver, LogOptions: c.LogOpts, Profile: c.Profile, Init: c.Init, InitPath: initPath, Runtimes: c.Runtimes},
	})
	if err != nil {
		return nil, errors.Join(err, closeOthers())
	}
	if host != nil {
		facts.IPv4ForwardingDisabled = false // the networks switched it on
	}
	s.images.SetUsers(func() []image.User {
		views := e.Views()
		out := make([]image.User, 0, len(views))
		for _, v := range views {
			p := v.State.Phase
			out = append(out, image.User{Container: string(v.ID), Image: v.Image, Running: p == engine.Running || p == engine.Paused || p == engine.Restarting})
		}
		return out
	})
	return &containers{e, info(c, facts, initPath), func() error { return errors.Join(e.Close(), closeOthers()) }, launcher, host, facts, log}, nil
}

// openNetworks opens the networks. A host that cannot have any runs containers without.
func openNetworks(c Config, log *slog.Logger) (*network.Host, engine.Networks) {
	if c.Networks == "off" {
		return nil, nil
	}
	h, err := network.Open(network.Config{DataDir: filepath.Join(c.DataRoot, "network"), Instance: c.instance(), Log: log})
	if err != nil {
		log.Warn("there are no networks here: containers have --network none, host and container: only", "error", err)
		return nil, nil
	}
	return h, networks{h, log}
}

// shims are the launcher as the engine sees it.
type shims struct{ *shim.Launcher }

func (l shims) Create(ctx context.Context, r shim.Request) (engine.Shim, error) {
	s, err := l.Launcher.Create(ctx, r)
	if err != nil {
		return nil, err
	}
	return oneShim{s}, nil
}

func (l shims) Connect(ctx context.Context, id string) (engine.Shim, error) {
	s, err := l.Launcher.Connect(ctx, id)
	if err != nil {
		return nil, err
	}
	return oneShim{s}, nil
}

// oneShim returns streams as the engine's interface: a nil pointer in it would not be nil.
type oneShim struct{ *shim.Shim }

func (s oneShim) Exec(ctx context.Context, r shim.ExecRequest) (int, engine.Stream, error) {
	pid, st, err := s.Shim.Exec(ctx, r)
	if err != nil || st == nil {
		return pid, nil, err
	}
	return pid, st, nil
}

func (s oneShim) OpenStream(ctx context.Context, execID string, stdin, stdout, stderr bool, patience time.Duration) (engine.Stream, error) {
	st, err := s.Shim.OpenStream(ctx, execID, stdin, stdout, stderr, patience)
	if err != nil {
		return nil, err
	}
	return st, nil
}

// roots are the snapshotter as the engine sees it.
type roots struct{ *snapshot.Snapshotter }

func openContainer(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

func (r roots) Make(ctx context.Context, base, dir string) error {
	d, err := openContainer(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return r.MakeWritable(ctx, base, d)
}

func (r roots) Mount(ctx context.Context, base, dir string, users *os.File, volatile bool) (*os.File, error) {
	d, err := openContainer(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return r.MountWritable(ctx, base, d, snapshot.WritableOptions{MountOptions: snapshot.MountOptions{UserNS: users}, Volatile: volatile})
}

func (r roots) Image(ctx context.Context, base string) (*os.File, error) {
	return r.MountParent(ctx, base, snapshot.MountOptions{})
}

func (r roots) Usage(ctx context.Context, dir string) (int64, error) {
	d, err := openContainer(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	u, err := r.UsageWritable(ctx, d)
	return u.Size, err
}

func (r roots) Remove(dir string) error {
	parent, err := openContainer(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	return snapshot.RemoveTree(context.Background(), parent, filepath.Base(dir))
}

func (r roots) Changes(ctx context.Context, base, dir string, leaveOut map[string]bool, tell func(engine.Change) error) error {
	d, err := openContainer(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return r.ChangesWritable(ctx, base, d, leaveOut, func(c snapshot.Change) error {
		return tell(engine.Change{Kind: int(c.Kind), Path: c.Path})
	})
}

func (r roots) Diff(ctx context.Context, base, dir string, leaveOut map[string]bool, w io.Writer) error {
	d, err := openContainer(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = r.DiffWritable(ctx, base, d, w, unpack.WriteOptions{Compression: "gzip", LeaveOut: leaveOut})
	return err
}
