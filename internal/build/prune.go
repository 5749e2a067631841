package build

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	"github.com/moby/moby/api/types/build"
)

// PruneOptions of Prune. Sizes are in bytes; 0 is no bound.
type PruneOptions struct {
	All                                       bool // also what images share, and what frontends made
	Filters                                   map[string][]string
	KeepFor                                   time.Duration
	ReservedSpace, MaxUsedSpace, MinFreeSpace int64
}

// Prune removes results that nobody uses.
func (b *Builder) Prune(ctx context.Context, o PruneOptions) (report build.CachePruneReport, err error) {
	report.CachesDeleted = []string{}
	if !b.exists() {
		return report, nil
	}
	open, err := b.get()
	if err != nil {
		return report, err
	}
	info := client.PruneInfo{All: o.All, KeepDuration: o.KeepFor, ReservedSpace: o.ReservedSpace, MaxUsedSpace: o.MaxUsedSpace, MinFreeSpace: o.MinFreeSpace}
	for key, values := range o.Filters {
		f, err := filter(key, values)
		if err != nil {
			return report, err
		}
		info.Filter = append(info.Filter, f...)
	}
	ch := make(chan client.UsageInfo)
	var reader sync.WaitGroup
	reader.Go(func() {
		for u := range ch {
			report.CachesDeleted = append(report.CachesDeleted, u.ID)
			report.SpaceReclaimed += uint64(max(0, u.Size))
		}
	})
	err = open.worker.Prune(ctx, ch, info)
	close(ch)
	reader.Wait()
	b.c.Store.Schedule()
	return report, err
}

// filter is one of Docker's in BuildKit's words.
func filter(key string, values []string) ([]string, error) {
	known := []string{"id", "parent", "type", "description", "inuse", "shared", "private"}
	if !slices.Contains(known, key) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter '" + key + "'")
	}
	if len(values) != 1 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("filter " + key + " takes one value")
	}
	switch v := values[0]; key {
	case "id":
		return []string{"id~=" + v}, nil
	case "inuse", "shared", "private":
		return []string{key + "==" + v}, nil
	default:
		return []string{key + "==" + v}, nil
	}
}

// DiskUsage lists the results that are kept.
func (b *Builder) DiskUsage(ctx context.Context) ([]build.CacheRecord, error) {
	if !b.exists() {
		return nil, nil
	}
	open, err := b.get()
	if err != nil {
		return nil, err
	}
	list, err := open.worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return nil, err
	}
	out := make([]build.CacheRecord, 0, len(list))
	for _, u := range list {
		out = append(out, build.CacheRecord{
			ID: u.ID, Parents: u.Parents, Type: string(u.RecordType), Description: u.Description, InUse: u.InUse, Shared: u.Shared,
			Size: u.Size, CreatedAt: u.CreatedAt, LastUsedAt: u.LastUsedAt, UsageCount: u.UsageCount,
		})
	}
	return out, nil
}
