package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// listedImage is what hulld says of an image in lists.
type listedImage struct {
	ID          string `json:"Id"`
	Created     int64
	Size        int64
	SharedSize  int64
	Containers  int64
	RepoTags    []string
	RepoDigests []string
}

// imageRow is one line of a list, with the fields of Docker's --format.
type imageRow struct {
	ID, Repository, Tag, Digest, CreatedSince, CreatedAt, Size, VirtualSize, Containers, SharedSize, UniqueSize string
}

func (a *App) imageList(ctx context.Context, args []string) error {
	o := newOptions()
	o.flag("all", 'a') // there are no intermediate images to hide
	quiet := o.flag("quiet", 'q')
	digests := o.flag("digests", 0)
	whole := o.flag("no-trunc", 0)
	filters := o.list("filter", 'f')
	format := o.text("format", 0, "")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	switch len(args) {
	case 0:
	case 1:
		*filters = append(*filters, "reference="+args[0])
	default:
		return misused("images takes at most one repository")
	}
	q := url.Values{}
	f, err := filterQuery(*filters)
	if err != nil {
		return err
	}
	if f != "" {
		q.Set("filters", f)
	}
	var list []listedImage
	if err := a.client.get(ctx, call{method: "GET", path: "/images/json", query: q}, &list); err != nil {
		return err
	}
	rows := imageRows(list, *digests, *whole)
	switch {
	case *format != "" && *format != "table":
		var items []any
		for _, r := range rows {
			items = append(items, r)
		}
		return formatted(a.Out, *format, items, map[string]string{"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE"})
	case *quiet:
		for _, r := range rows {
			fmt.Fprintln(a.Out, r.ID)
		}
		return nil
	}
	header := []string{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"}
	if *digests {
		header = []string{"REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"}
	}
	var lines [][]string
	for _, r := range rows {
		line := []string{r.Repository, r.Tag, r.ID, r.CreatedSince, r.Size}
		if *digests {
			line = []string{r.Repository, r.Tag, r.Digest, r.ID, r.CreatedSince, r.Size}
		}
		lines = append(lines, line)
	}
	return table(a.Out, header, lines)
}

// imageRows makes a row for each name. An image without one has a row of "<none>".
func imageRows(list []listedImage, digests, whole bool) []imageRow {
	var rows []imageRow
	for _, img := range list {
		base := imageRow{
			ID: shortID(img.ID), Repository: "<none>", Tag: "<none>", Digest: "<none>",
			CreatedSince: ago(img.Created), CreatedAt: time.Unix(img.Created, 0).String(),
			Size: size(img.Size), VirtualSize: size(img.Size), Containers: "N/A", SharedSize: "N/A", UniqueSize: "N/A",
		}
		if whole {
			base.ID = img.ID
		}
		named := make(map[string]bool) // repositories that have a row
		for _, t := range img.RepoTags {
			r := base
			r.Repository, r.Tag = splitTag(t)
			named[r.Repository] = true
			if digests {
				r.Digest = digestOf(img.RepoDigests, r.Repository)
			}
			rows = append(rows, r)
		}
		for _, d := range img.RepoDigests {
			repo, digest, _ := strings.Cut(d, "@")
			if named[repo] {
				continue
			}
			r := base
			r.Repository, r.Digest = repo, digest
			rows = append(rows, r)
		}
		if len(img.RepoTags)+len(img.RepoDigests) == 0 {
			rows = append(rows, base)
		}
	}
	return rows
}

// splitTag cuts a familiar name at its tag.
func splitTag(name string) (repository, tag string) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || strings.Contains(name[i:], "/") {
		return name, "<none>"
	}
	return name[:i], name[i+1:]
}

func digestOf(digests []string, repository string) string {
	for _, d := range digests {
		if repo, digest, _ := strings.Cut(d, "@"); repo == repository {
			return digest
		}
	}
	return "<none>"
}
