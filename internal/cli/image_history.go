package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// historyRow is one step, with the fields of Docker's --format.
type historyRow struct{ ID, CreatedSince, CreatedAt, CreatedBy, Size, Comment string }

func (a *App) imageHistory(ctx context.Context, args []string) error {
	o := newOptions()
	quiet := o.flag("quiet", 'q', "Only show image IDs")
	whole := o.flag("no-trunc", 0, "Don't truncate output")
	human := o.text("human", 'H', "true", "Print sizes and dates in human readable format")
	format := o.text("format", 0, "", "Format output using a custom template")
	platform := o.list("platform", 0, "Show history for the given platform")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return misused("history takes one image, got %d arguments", len(args))
	}
	var steps []struct {
		ID        string `json:"Id"`
		Created   int64
		CreatedBy string
		Size      int64
		Comment   string
	}
	q := url.Values{}
	if err := platformQuery(q, "platform", *platform); err != nil {
		return err
	}
	if err := a.client.get(ctx, call{method: "GET", path: "/images/" + args[0] + "/history", query: q}, &steps); err != nil {
		return err
	}
	var rows []historyRow
	for _, s := range steps {
		r := historyRow{ID: s.ID, CreatedSince: ago(s.Created), CreatedAt: time.Unix(s.Created, 0).Format(time.RFC3339), CreatedBy: strings.ReplaceAll(s.CreatedBy, "\t", " "), Size: size(s.Size), Comment: s.Comment}
		if !*whole {
			if s.ID != "<missing>" {
				r.ID = shortID(s.ID)
			}
			r.CreatedBy = ellipsis(r.CreatedBy, 45)
		}
		if *human == "false" {
			r.CreatedSince, r.Size = r.CreatedAt, fmt.Sprint(s.Size)
		}
		rows = append(rows, r)
	}
	switch {
	case *format != "" && *format != "table":
		var items []any
		for _, r := range rows {
			items = append(items, r)
		}
		return formatted(a.Out, *format, items, map[string]string{"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"})
	case *quiet:
		for _, r := range rows {
			fmt.Fprintln(a.Out, r.ID)
		}
		return nil
	}
	var lines [][]string
	for _, r := range rows {
		lines = append(lines, []string{clean(r.ID), r.CreatedSince, clean(r.CreatedBy), r.Size, clean(r.Comment)})
	}
	return table(a.Out, []string{"IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"}, lines)
}

// ellipsis cuts a text to n characters, the last one "…".
func ellipsis(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
