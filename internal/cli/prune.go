package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// errCancelled is that the user did not say yes: the program ends well and without a word.
var errCancelled = exitError(0)

// confirm asks, and takes only y for yes.
func (a *App) confirm(ctx context.Context, warning string) error {
	fmt.Fprintf(a.Out, "%s [y/N] ", warning)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(a.In, 1<<10)).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.Out)
		return ctx.Err()
	case r := <-got:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return r.err
		}
		if !strings.EqualFold(strings.TrimSpace(r.text), "y") {
			return errCancelled
		}
		return nil
	}
}

// pruneFilters adds the filters of the user's configuration; those of the command line win.
func (a *App) pruneFilters(filters []string) []string {
	for _, f := range a.settings().PruneFilters {
		k, v, ok := strings.Cut(f, "=")
		opposite := map[string]string{"label": "label!=", "label!": "label="}[k]
		if !ok || v == "" || opposite != "" && slices.Contains(filters, opposite+v) {
			continue
		}
		if k != "label" && k != "label!" && slices.ContainsFunc(filters, func(g string) bool { return strings.HasPrefix(g, k+"=") }) {
			continue
		}
		filters = append(filters, f)
	}
	return filters
}

// pruned is what a prune of any kind reports.
type pruned struct {
	ContainersDeleted []string
	VolumesDeleted    []string
	NetworksDeleted   []string
	ImagesDeleted     []deletedImage
	CachesDeleted     []string
	SpaceReclaimed    int64
}

// prune posts a prune and returns what was deleted, as text with a title.
func (a *App) prune(ctx context.Context, kind string, filters []string) (text string, report pruned, err error) {
	q := url.Values{}
	if err := setFilters(q, filters); err != nil {
		return "", report, err
	}
	if err := a.client.post(ctx, "/"+kind+"/prune", q, nil, &report); err != nil {
		return "", report, err
	}
	title := strings.ToUpper(kind[:1]) + kind[1:]
	names := slices.Concat(report.ContainersDeleted, report.VolumesDeleted, report.NetworksDeleted)
	for _, d := range report.ImagesDeleted {
		if d.Untagged != "" {
			names = append(names, "untagged: "+d.Untagged)
		} else {
			names = append(names, "deleted: "+d.Deleted)
		}
	}
	if len(names) > 0 {
		text = "Deleted " + title + ":\n" + strings.Join(names, "\n") + "\n"
	}
	return text, report, nil
}

// pruneVerb is a prune of one kind.
func (a *App) pruneVerb(ctx context.Context, kind string, args []string) error {
	o := newOptions()
	force := o.flag("force", 'f', "Do not prompt for confirmation")
	all := new(bool)
	if kind == "volumes" {
		all = o.flag("all", 'a', "Remove all unused volumes, not just anonymous ones")
	}
	filters := o.filter(0, "Provide filter values (e.g. \"until=<timestamp>\")")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	chosen := a.pruneFilters(*filters)
	what := map[string]string{
		"containers": "all stopped containers",
		"networks":   "all custom networks not used by at least one container",
		"volumes":    "anonymous local volumes not used by at least one container",
	}[kind]
	if kind == "volumes" {
		if what, chosen, err = a.volumesToPrune(ctx, what, *all, chosen); err != nil {
			return err
		}
	}
	if !*force {
		if err := a.confirm(ctx, "WARNING! This will remove "+what+".\nAre you sure you want to continue?"); err != nil {
			return err
		}
	}
	text, report, err := a.prune(ctx, kind, chosen)
	if err != nil {
		return err
	}
	if text != "" {
		fmt.Fprintln(a.Out, text)
	} else {
		report.SpaceReclaimed = 0
	}
	if kind != "networks" {
		fmt.Fprintln(a.Out, "Total reclaimed space:", size4(report.SpaceReclaimed))
	}
	return nil
}

// volumesToPrune is what is said of the volumes that go; before 1.42 all of them did.
func (a *App) volumesToPrune(ctx context.Context, what string, all bool, filters []string) (string, []string, error) {
	if err := a.client.agree(ctx); err != nil {
		return "", nil, err
	}
	every := "all local volumes not used by at least one container"
	switch {
	case !a.client.has("1.42") && all:
		return "", nil, fmt.Errorf("%q requires API version 1.42, but the Docker daemon API version is %s", "--all", a.client.version)
	case !a.client.has("1.42"):
		return every, filters, nil
	case all && slices.ContainsFunc(filters, func(f string) bool { return strings.HasPrefix(f, "all=") }):
		return "", nil, errors.New("conflicting options: cannot specify both --all and --filter all=1")
	case all:
		return every, append(filters, "all=true"), nil
	}
	return what, filters, nil
}
