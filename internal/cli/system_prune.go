package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func (a *App) systemPrune(ctx context.Context, args []string) error {
	o := newOptions()
	all := o.flag("all", 'a', "Remove all unused images not just dangling ones")
	force := o.flag("force", 'f', "Do not prompt for confirmation")
	volumes := o.flag("volumes", 0, "Prune anonymous volumes")
	filters := o.filter(0, "Provide filter values (e.g. \"label=<key>=<value>\")")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	if *volumes && slices.ContainsFunc(*filters, func(f string) bool { return strings.HasPrefix(f, "until=") }) {
		return errors.New(`ERROR: The "until" filter is not supported with "--volumes"`)
	}
	if err := a.client.agree(ctx); err != nil {
		return err
	}
	chosen := a.pruneFilters(*filters)
	if !*force {
		if err := a.confirm(ctx, a.pruneWarning(*all, *volumes, chosen)); err != nil {
			return err
		}
	}
	kinds := []string{"containers", "networks"}
	if *volumes {
		kinds = append(kinds, "volumes")
	}
	var space int64
	for _, kind := range append(kinds, "images") {
		f := chosen
		if kind == "images" {
			f = append(slices.Clone(chosen), fmt.Sprintf("dangling=%v", !*all))
		}
		text, report, err := a.prune(ctx, kind, f)
		if err != nil {
			return err
		}
		if text != "" {
			fmt.Fprintln(a.Out, text)
		}
		space += report.SpaceReclaimed
	}
	more, err := a.pruneBuild(ctx, *all, chosen)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Out, "Total reclaimed space:", size4(space+more))
	return nil
}

// pruneBuild empties the builder's cache, of a daemon that has a builder.
func (a *App) pruneBuild(ctx context.Context, all bool, filters []string) (int64, error) {
	if !a.client.has("1.31") {
		return 0, nil
	}
	q := url.Values{}
	if all {
		q.Set("all", "1")
	}
	if err := setFilters(q, filters); err != nil {
		return 0, err
	}
	var report pruned
	err := a.client.post(ctx, "/build/prune", q, nil, &report)
	if missing(err) {
		return 0, nil
	}
	if err == nil && len(report.CachesDeleted) > 0 {
		fmt.Fprintf(a.Out, "Deleted build cache objects:\n%s\n\n", strings.Join(report.CachesDeleted, "\n"))
	}
	return report.SpaceReclaimed, err
}

func (a *App) pruneWarning(all, volumes bool, filters []string) string {
	list := []string{"all stopped containers", "all networks not used by at least one container"}
	if volumes {
		list = append(list, "all anonymous volumes not used by at least one container")
	}
	images, cache := "all dangling images", "unused build cache"
	if all {
		images, cache = "all images without at least one container associated to them", "all build cache"
	}
	list = append(list, images)
	if a.client.has("1.31") {
		list = append(list, cache)
	}
	text := "WARNING! This will remove:\n  - " + strings.Join(list, "\n  - ") + "\n"
	if len(filters) > 0 {
		slices.SortFunc(filters, natural)
		text += "\n  Items to be pruned will be filtered with:\n  - " + strings.Join(filters, "\n  - ") + "\n"
	}
	return text + "\nAre you sure you want to continue?"
}
