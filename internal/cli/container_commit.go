package cli

import (
	"context"
	"fmt"
	"net/url"

	"github.com/hull-dev/hull/internal/reference"
)

func (a *App) containerCommit(ctx context.Context, args []string) error {
	o := newOptions()
	author := o.text("author", 'a', "", `Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")`)
	changes := o.list("change", 'c', "Apply Dockerfile instruction to the created image")
	message := o.text("message", 'm', "", "Commit message")
	pause := o.boolean("pause", 'p', true, "Pause container during commit")
	noPause := o.flag("no-pause", 0, "Disable pausing container during commit")
	args, err := o.parse(args, true)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 2); err != nil {
		return err
	}
	if o.changed("pause") && o.changed("no-pause") {
		return fmt.Errorf("conflicting options: --no-pause and --pause cannot be used together")
	}
	if _, err := containerPath(args[0]); err != nil {
		return err
	}
	repo, tag := "", ""
	if len(args) == 2 {
		ref, err := reference.Parse(args[1])
		if err != nil {
			return err
		}
		if ref.Digest != "" {
			return fmt.Errorf("refusing to create a tag with a digest reference")
		}
		repo, tag = ref.Repository.String(), ref.WithDefaultTag().Tag
	}
	q := url.Values{"container": {args[0]}, "repo": {repo}, "tag": {tag}, "comment": {*message}, "author": {*author}}
	for _, c := range *changes {
		q.Add("changes", c)
	}
	if !*pause || *noPause {
		q.Set("pause", "0")
	}
	var made struct {
		ID string `json:"Id"`
	}
	if err := a.client.post(ctx, "/commit", q, nil, &made); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, made.ID)
	return nil
}
