package build

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	bkconfig "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/buildkit/worker/base"

	"github.com/hull-dev/hull/internal/metadata"
	"github.com/hull-dev/hull/internal/reference"
)

// builderWorker is BuildKit's base worker, with an image exporter that puts what was built into
// Hull's image store.
type builderWorker struct {
	*base.Worker
	b      *Builder
	steps  *steps
	bodies *bodies
}

// Exporter implements worker.Worker. "moby" is what docker's command line asks dockerd for.
func (w *builderWorker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	if name != client.ExporterImage && name != "moby" {
		return w.Worker.Exporter(name, sm)
	}
	inner, err := w.Worker.Exporter(client.ExporterImage, sm)
	if err != nil {
		return nil, err
	}
	return &imageExporter{inner, w}, nil
}

// namedFrontend serves `# syntax=` lines that name Docker's own frontend with the one that is built
// in; other frontends are images.
type namedFrontend struct{ builtIn, image frontend.Frontend }

func (f *namedFrontend) Solve(ctx context.Context, llb frontend.FrontendLLBBridge, exec executor.Executor, opts map[string]string, inputs map[string]*pb.Definition, sid string, sm *session.Manager) (*frontend.Result, error) {
	if isDockerfileFrontend(opts[frontend.KeySource]) {
		return f.builtIn.Solve(ctx, llb, exec, opts, inputs, sid, sm)
	}
	return f.image.Solve(ctx, llb, exec, opts, inputs, sid, sm)
}

// isDockerfileFrontend says whether a frontend's reference is one of Docker's own, in any version.
func isDockerfileFrontend(source string) bool {
	ref, err := reference.Parse(source)
	if err != nil {
		return false
	}
	return slices.Contains([]string{"docker/dockerfile", "docker/dockerfile-upstream"}, ref.Repository.Familiar())
}

// buildkitVersion is that of the module.
func buildkitVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/moby/buildkit" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// policy is BuildKit's default one: what can be made again and was not used for two days goes first, what was not
// used for 60 days, and what is more than a part of the disk (10 % are kept in any case, 80 % or
// 100 GB at most, 20 % of the disk free).
func policy(dir string) (out []client.PruneInfo) {
	stat, err := disk.GetDiskStat(dir)
	if err != nil {
		return nil
	}
	for _, p := range bkconfig.DefaultGCPolicy(bkconfig.GCConfig{}, stat) {
		out = append(out, client.PruneInfo{
			All: p.All, Filter: p.Filters, KeepDuration: p.KeepDuration.Duration,
			ReservedSpace: p.ReservedSpace.AsBytes(stat), MaxUsedSpace: p.MaxUsedSpace.AsBytes(stat), MinFreeSpace: p.MinFreeSpace.AsBytes(stat),
		})
	}
	return out
}

// names are the image names of the store, as BuildKit looks them up. It does not write any: see
// imageExporter.
type names struct{ store *metadata.Store }

func (n names) Get(ctx context.Context, name string) (images.Image, error) {
	return n.store.Images().Get(n.store.Context(ctx), name)
}

func (n names) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return n.store.Images().List(n.store.Context(ctx), filters...)
}

var errReadOnly = errdefs.ErrNotImplemented.WithMessage("names of built images are set by the image store")

func (names) Create(context.Context, images.Image) (images.Image, error) {
	return images.Image{}, errReadOnly
}

func (names) Update(context.Context, images.Image, ...string) (images.Image, error) {
	return images.Image{}, errReadOnly
}

func (names) Delete(context.Context, string, ...images.DeleteOpt) error { return errReadOnly }

// splitNames are the references of an exporter's "name" attribute, normalized.
func splitNames(attr string) (out []string, err error) {
	for n := range strings.SplitSeq(attr, ",") {
		if n == "" {
			continue
		}
		ref, err := reference.Parse(n)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid tag \"" + n + "\": " + err.Error())
		}
		if ref.Digest != "" {
			return nil, errors.New("a built image cannot be named by a digest: " + n)
		}
		out = append(out, ref.WithDefaultTag().String())
	}
	return out, nil
}
