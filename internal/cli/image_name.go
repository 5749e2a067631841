package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// splitReference cuts a name as typed into a repository and what the API takes as its tag.
func splitReference(name string) (repository, tag string) {
	if repo, digest, ok := strings.Cut(name, "@"); ok {
		return repo, digest
	}
	repository, tag = splitTag(name)
	if tag == "<none>" {
		tag = ""
	}
	return repository, tag
}

func (a *App) imageTag(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return misused("tag takes a source and a target, got %d arguments", len(args))
	}
	repo, tag := splitReference(args[1])
	q := url.Values{"repo": {repo}, "tag": {tag}}
	return a.client.get(ctx, call{method: "POST", path: "/images/" + args[0] + "/tag", query: q}, nil)
}

type deletedImage struct{ Untagged, Deleted string }

func (a *App) imageRemove(ctx context.Context, args []string) error {
	o := newOptions()
	force := o.flag("force", 'f', "Force, without a question")
	o.flag("no-prune", 0, "Do not delete untagged parents") // there are no untagged parents
	platform := o.list("platform", 0, "Only these platforms, os/arch[/variant],...")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return misused("rmi takes at least one image")
	}
	q := url.Values{}
	if *force {
		q.Set("force", "1")
	}
	if err := platformQuery(q, "platforms", *platform); err != nil {
		return err
	}
	failed := false
	for _, name := range args {
		var list []deletedImage
		err := a.client.get(ctx, call{method: "DELETE", path: "/images/" + name, query: q}, &list)
		var answer *answerError
		if errors.As(err, &answer) && answer.status == 404 && *force {
			fmt.Fprintln(a.Err, err)
			continue
		}
		if err != nil {
			fmt.Fprintln(a.Err, err)
			failed = true
			continue
		}
		for _, d := range list {
			if d.Deleted != "" {
				fmt.Fprintln(a.Out, "Deleted:", d.Deleted)
			} else {
				fmt.Fprintln(a.Out, "Untagged:", d.Untagged)
			}
		}
	}
	if failed {
		return exitError(1)
	}
	return nil
}

func (a *App) imagePrune(ctx context.Context, args []string) error {
	o := newOptions()
	all := o.flag("all", 'a', "Remove all unused images, not just dangling ones")
	force := o.flag("force", 'f', "Force, without a question")
	filters := o.list("filter", 0, `Provide filter values (e.g. "until=<timestamp>")`)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return misused("image prune takes no arguments")
	}
	if !*force {
		what := "all dangling images"
		if *all {
			what = "all images without at least one container associated to them"
		}
		fmt.Fprintf(a.Out, "WARNING! This will remove %s.\nAre you sure you want to continue? [y/N] ", what)
		var answer string
		if _, err := fmt.Fscanln(a.In, &answer); err != nil || strings.ToLower(answer) != "y" {
			return exitError(1)
		}
	}
	*filters = append(*filters, fmt.Sprintf("dangling=%v", !*all))
	f, err := filterQuery(*filters)
	if err != nil {
		return err
	}
	var report struct {
		ImagesDeleted  []deletedImage
		SpaceReclaimed int64
	}
	if err := a.client.get(ctx, call{method: "POST", path: "/images/prune", query: url.Values{"filters": {f}}}, &report); err != nil {
		return err
	}
	if len(report.ImagesDeleted) > 0 {
		fmt.Fprintln(a.Out, "Deleted Images:")
		for _, d := range report.ImagesDeleted {
			if d.Untagged != "" {
				fmt.Fprintln(a.Out, "untagged:", d.Untagged)
			} else {
				fmt.Fprintln(a.Out, "deleted:", d.Deleted)
			}
		}
		fmt.Fprintln(a.Out)
	}
	fmt.Fprintln(a.Out, "Total reclaimed space:", size4(report.SpaceReclaimed))
	return nil
}

func (a *App) imageInspect(ctx context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 'f', "", "Format output using a custom template")
	platform := o.list("platform", 0, "Only these platforms, os/arch[/variant],...")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return misused("inspect takes at least one image")
	}
	q := url.Values{}
	if err := platformQuery(q, "platform", *platform); err != nil {
		return err
	}
	raws := []json.RawMessage{}
	failed := false
	for _, name := range args {
		var raw json.RawMessage
		if err := a.client.get(ctx, call{method: "GET", path: "/images/" + name + "/json", query: q}, &raw); err != nil {
			fmt.Fprintln(a.Err, err)
			failed = true
			continue
		}
		raws = append(raws, raw)
	}
	if *format == "" {
		text, err := json.MarshalIndent(raws, "", "    ")
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "%s\n", text)
	} else if err := formatRaw(a.Out, *format, raws); err != nil {
		return err
	}
	if failed {
		return exitError(1)
	}
	return nil
}
