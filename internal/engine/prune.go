package engine

import (
	"context"
	"slices"
	"time"
)

// PruneOptions say which containers that do not run are removed.
type PruneOptions struct {
	Until     time.Time // created before; zero: all
	Labels    []string  // it has all of them, KEY or KEY=VALUE
	NotLabels []string  // it has none of them
}

// Prune removes containers that do not run and were not asked to.
func (e *Engine) Prune(ctx context.Context, o PruneOptions) (removed []ID, freed int64, err error) {
	for _, v := range e.Views() {
		if err := ctx.Err(); err != nil {
			return removed, freed, err
		}
		if p := v.State.Phase; p != Created && p != Exited && p != Dead {
			continue
		}
		if !o.Until.IsZero() && !v.Created.Before(o.Until) ||
			slices.ContainsFunc(o.Labels, func(l string) bool { return !hasLabel(v.Config.Labels, l) }) ||
			slices.ContainsFunc(o.NotLabels, func(l string) bool { return hasLabel(v.Config.Labels, l) }) {
			continue
		}
		size := e.SizeRw(ctx, v)
		if err := e.Remove(ctx, string(v.ID), RemoveOptions{}); err != nil {
			continue // it was started, or somebody else removed it
		}
		removed, freed = append(removed, v.ID), freed+size
	}
	return removed, freed, nil
}

// SizeRw is how many bytes a container's writable layer has on disk.
func (e *Engine) SizeRw(ctx context.Context, v *View) int64 {
	n, err := e.opts.Roots.Usage(ctx, v.Dir)
	if err != nil {
		e.log.Debug("counting a container's files", "container", v.ID, "error", err)
	}
	return n
}
