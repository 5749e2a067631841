package cli

import (
	"context"
	"fmt"
	"io"
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
	o.flag("all", 'a', "Show all images (default hides intermediate and dangling images)") // there are no intermediate images to hide
	quiet := o.flag("quiet", 'q', "Only show image IDs")
	digests := o.flag("digests", 0, "Show digests")
	whole := o.flag("no-trunc", 0, "Don't truncate output")
	filters := o.list("filter", 'f', "Filter output based on conditions provided")
	format := o.text("format", 0, "", "Format output using a custom template")
	tree := o.flag("tree", 0, "List multi-platform images as a tree")
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
	if *tree {
		if *quiet || *format != "" {
			return misused("--quiet and --format are not yet supported with --tree")
		}
		return a.imageTree(ctx, q, *whole)
	}
	var list []listedImage
	if err := a.client.get(ctx, call{method: "GET", path: "/images/json", query: q}, &list); err != nil {
		return err
	}
	rows := imageRows(list, *digests, *whole)
	switch {
	case *format == "raw":
		return rawImages(a.Out, rows, *quiet, *digests)
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

// rawImages is Docker's --format raw: a block of lines for each image.
func rawImages(w io.Writer, rows []imageRow, quiet, digests bool) error {
	for _, r := range rows {
		switch {
		case quiet:
			fmt.Fprintf(w, "image_id: %s\n", r.ID)
			continue
		case digests:
			fmt.Fprintf(w, "repository: %s\ntag: %s\ndigest: %s\nimage_id: %s\ncreated_at: %s\nvirtual_size: %s\n\n", r.Repository, r.Tag, r.Digest, r.ID, r.CreatedAt, r.Size)
			continue
		}
		fmt.Fprintf(w, "repository: %s\ntag: %s\nimage_id: %s\ncreated_at: %s\nvirtual_size: %s\n\n", r.Repository, r.Tag, r.ID, r.CreatedAt, r.Size)
	}
	return nil
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
