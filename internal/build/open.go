package build

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	httpsource "github.com/moby/buildkit/source/http"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"

	hull "github.com/hull-dev/hull/internal/metadata"
)

// start opens BuildKit's databases and puts its parts together.
func (b *Builder) start() (_ *opened, err error) {
	dir := b.dir()
	mounts := filepath.Join(dir, "mounts")
	if err := os.MkdirAll(mounts, 0o700); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(b.c.Store.Context(context.Background()))
	undo := []func() error{}
	defer func() {
		if err != nil {
			stop()
			for _, u := range slices.Backward(undo) {
				_ = u()
			}
		}
	}()
	opt, err := b.workerOptions(dir, mounts)
	if err != nil {
		return nil, err
	}
	undo = append(undo, opt.MetadataStore.Close)
	bw, err := base.NewWorker(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("making the worker: %w", err)
	}
	w := &builderWorker{Worker: bw, b: b, steps: opt.Executor.(*steps), bodies: newBodies()}
	web, err := httpsource.NewSource(httpsource.Opt{CacheAccessor: bw.CacheMgr, Transport: w.bodies})
	if err != nil {
		return nil, err
	}
	bw.SourceManager.Register(web) // in the place of one without request bodies
	bw.HTTPSource = web
	wc := &worker.Controller{}
	if err := wc.Add(w); err != nil {
		return nil, err
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	gatewayFrontend, err := gateway.NewGatewayFrontend(wc.Infos(), nil)
	if err != nil {
		return nil, err
	}
	builtIn := forwarder.NewGatewayForwarder(wc.Infos(), dockerfile.Build)
	cache, err := bboltcachestorage.NewStore(filepath.Join(dir, "cache.db"))
	if err != nil {
		return nil, err
	}
	undo = append(undo, cache.Close)
	history, err := boltutil.SafeOpen(filepath.Join(dir, "history.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	undo = append(undo, history.Close)
	c, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: wc,
		Frontends:        map[string]frontend.Frontend{"dockerfile.v0": builtIn, "gateway.v0": &namedFrontend{builtIn, gatewayFrontend}},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, opt.RegistryHosts),
			"local":    localcache.ResolveCacheExporterFunc(sessions),
			"inline":   inlinecache.ResolveCacheExporterFunc(),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, opt.ContentStore, opt.RegistryHosts),
			"local":    localcache.ResolveCacheImporterFunc(sessions),
		},
		CacheManager:   solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(wc)),
		Entitlements:   []string{"network.host", "security.insecure"},
		HistoryDB:      history,
		CacheStore:     cache,
		LeaseManager:   opt.LeaseManager,
		ContentStore:   opt.ContentStore,
		GarbageCollect: bw.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
	if err != nil {
		return nil, fmt.Errorf("making the solver: %w", err)
	}
	return &opened{controller: c, sessions: sessions, worker: w, server: newServer(c), stop: stop}, nil
}

// workerOptions are the worker's parts: hulld's store, and an executor.
func (b *Builder) workerOptions(dir, mounts string) (o base.WorkerOpt, err error) {
	ns, _ := namespaces.Namespace(b.c.Store.Context(context.Background()))
	if o.ID, err = base.ID(dir); err != nil {
		return o, err
	}
	md, err := metadata.NewStore(filepath.Join(dir, "metadata_v2.db"))
	if err != nil {
		return o, err
	}
	lm := leaseutil.WithNamespace(keptLeases{b.c.Store.Leases()}, ns)
	cs := containerdsnapshot.NewContentStore(b.c.Store.Content(), ns)
	host, _ := os.Hostname()
	own := platforms.Normalize(platforms.DefaultSpec())
	return base.WorkerOpt{
		ID: o.ID, Root: dir,
		Labels: map[string]string{
			wlabel.Executor: "hull", wlabel.Snapshotter: b.c.Snapshotter, wlabel.Hostname: host, wlabel.Network: "hull",
		},
		Platforms:       []ocispec.Platform{own},
		GCPolicy:        policy(dir),
		BuildkitVersion: client.BuildkitVersion{Package: "github.com/moby/buildkit", Version: buildkitVersion(), Revision: b.c.Version},
		Executor:        newSteps(b),
		Snapshotter:     containerdsnapshot.NewSnapshotter(b.c.Snapshotter, b.c.Store.Snapshotter(b.c.Snapshotter), ns, nil),
		ContentStore:    cs,
		Applier:         apply.NewFileSystemApplier(cs),
		Differ:          walking.NewWalkingDiff(cs),
		ImageStore:      names{b.c.Store},
		RegistryHosts:   b.c.RegistryHosts,
		LeaseManager:    lm,
		GarbageCollect: func(ctx context.Context) (gc.Stats, error) {
			b.c.Store.Schedule()
			return nil, nil
		},
		ParallelismSem: semaphore.NewWeighted(int64(max(4, 2*runtime.NumCPU()))),
		MetadataStore:  md,
		MountPoolRoot:  mounts,
		CDIManager:     cdidevices.NewManager(nil, nil),
	}, nil
}

// keptLeases makes BuildKit's leases outlive the process, but for its temporary ones.
type keptLeases struct{ leases.Manager }

func (k keptLeases) Create(ctx context.Context, opts ...leases.Opt) (leases.Lease, error) {
	return k.Manager.Create(ctx, append(slices.Clone(opts), func(l *leases.Lease) error {
		for label := range l.Labels {
			if strings.HasPrefix(label, "buildkit/lease.temporary") {
				return nil
			}
		}
		l.Labels = maps.Clone(l.Labels)
		if l.Labels == nil {
			l.Labels = make(map[string]string)
		}
		l.Labels[hull.LabelKeep] = "1"
		return nil
	})...)
}
