package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// diskUsage is what the daemon says of its disk.
type diskUsage struct {
	LayersSize int64
	Images     []listedImage
	Containers []listedContainer
	Volumes    []listedVolume
	BuildCache []cacheRecord
}

// cacheRecord is an entry of the builder's cache.
type cacheRecord struct {
	ID, Type, Description string
	InUse, Shared         bool
	Size                  int64
	CreatedAt             time.Time
	LastUsedAt            *time.Time
	UsageCount            int
}

// usageRow is one line of system df.
type usageRow struct{ Active, Reclaimable, Size, TotalCount, Type string }

// active says whether a container has a process.
func (c *listedContainer) active() bool {
	return c.State == "running" || c.State == "paused" || c.State == "restarting"
}

// rows are the four kinds: how many, how many in use, how large, how much of it can go.
func (d *diskUsage) rows() []any {
	row := func(kind string, count, active int, total, free int64, share bool) any {
		r := usageRow{Type: kind, TotalCount: strconv.Itoa(count), Active: strconv.Itoa(active), Size: size4(total), Reclaimable: size4(free)}
		if share && total > 0 {
			r.Reclaimable += fmt.Sprintf(" (%d%%)", free*100/total)
		}
		return r
	}
	used, busy := int64(0), 0
	for _, i := range d.Images {
		if i.Containers > 0 {
			busy++
		}
		if i.Containers != 0 && i.Size != -1 && i.SharedSize != -1 {
			used += i.Size - i.SharedSize
		}
	}
	all := []any{row("Images", len(d.Images), busy, d.LayersSize, d.LayersSize-used, true)}
	total, free, busy := int64(0), int64(0), 0
	for i := range d.Containers {
		c := &d.Containers[i]
		total += c.SizeRw
		if c.active() {
			busy++
		} else {
			free += c.SizeRw
		}
	}
	all = append(all, row("Containers", len(d.Containers), busy, total, free, true))
	total, free, busy = 0, 0, 0
	for _, v := range d.Volumes {
		if v.UsageData == nil {
			continue
		}
		if v.UsageData.RefCount > 0 {
			busy++
		}
		if v.UsageData.Size == -1 {
			continue
		}
		if v.UsageData.RefCount == 0 {
			free += v.UsageData.Size
		}
		total += v.UsageData.Size
	}
	all = append(all, row("Local Volumes", len(d.Volumes), busy, total, free, true))
	total, free, busy = d.cacheSize(), 0, 0
	for _, c := range d.BuildCache {
		if c.InUse {
			busy++
		} else if !c.Shared {
			free += c.Size
		}
	}
	return append(all, row("Build Cache", len(d.BuildCache), busy, total, free, false))
}

// cacheSize is what the builder's cache alone has.
func (d *diskUsage) cacheSize() (n int64) {
	for _, c := range d.BuildCache {
		if !c.Shared {
			n += c.Size
		}
	}
	return n
}

func (a *App) systemDF(ctx context.Context, args []string) error {
	o := newOptions()
	verbose := o.flag("verbose", 'v', "Show detailed information on space usage")
	format := o.text("format", 0, "", formatHelp)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	var usage diskUsage
	if err := a.client.get(ctx, call{method: "GET", path: "/system/df", query: url.Values{}}, &usage); err != nil {
		return err
	}
	if *verbose {
		return usage.verbose(a.Out, *format)
	}
	f := listFormat{
		text: *format, table: "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
		raw:    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n",
		header: map[string]string{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"},
	}
	return f.print(a.Out, usage.rows())
}

// cacheRow has the fields of an entry of the builder's cache.
type cacheRow struct{ CacheType, CreatedSince, Description, ID, InUse, LastUsedSince, Shared, Size, UsageCount string }

func (c *cacheRecord) row() cacheRow {
	r := cacheRow{
		CacheType: c.Type, CreatedSince: runningFor(c.CreatedAt), Description: c.Description, ID: c.ID, Shared: strconv.FormatBool(c.Shared),
		InUse: strconv.FormatBool(c.InUse), Size: size4(c.Size), UsageCount: strconv.Itoa(c.UsageCount),
	}
	if c.LastUsedAt != nil {
		r.LastUsedSince = runningFor(*c.LastUsedAt)
	}
	return r
}

// verbose lists every object.
func (d *diskUsage) verbose(w io.Writer, format string) error {
	var all struct {
		Images     []imageRow
		Containers []containerRow
		Volumes    []volumeRow
		BuildCache []cacheRow
	}
	whole := format != "" && format != "table"
	for _, img := range d.Images {
		r := imageRows([]listedImage{img}, false, whole)[0]
		r.SharedSize, r.UniqueSize, r.Containers = size4(img.SharedSize), size4(img.Size-img.SharedSize), strconv.FormatInt(img.Containers, 10)
		all.Images = append(all.Images, r)
	}
	for _, c := range d.Containers {
		c.SizeRootFs = 0 // the image's part is the image's
		all.Containers = append(all.Containers, c.row(whole))
	}
	for _, v := range d.Volumes {
		all.Volumes = append(all.Volumes, v.row())
	}
	for _, c := range d.BuildCache {
		all.BuildCache = append(all.BuildCache, c.row())
	}
	switch {
	case format == "json":
		raw, err := json.Marshal(all)
		if err == nil {
			_, err = w.Write(raw)
		}
		return err
	case whole:
		t, err := template.New("").Funcs(functions()).Parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format))
		if err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		return t.Execute(w, all)
	}
	var lines [][]string
	for _, r := range all.Images {
		lines = append(lines, []string{r.Repository, r.Tag, r.ID, r.CreatedSince, r.Size, r.SharedSize, r.UniqueSize, r.Containers})
	}
	fmt.Fprint(w, "Images space usage:\n\n")
	if err := table(w, []string{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"}, lines); err != nil {
		return err
	}
	lines = nil
	for _, r := range all.Containers {
		lines = append(lines, []string{r.ID, r.Image, r.Command, r.LocalVolumes, r.Size, r.RunningFor, r.Status, r.Names})
	}
	fmt.Fprint(w, "\nContainers space usage:\n\n")
	if err := table(w, []string{"CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"}, lines); err != nil {
		return err
	}
	lines = nil
	for _, r := range all.Volumes {
		lines = append(lines, []string{r.Name, r.Links, r.Size})
	}
	fmt.Fprint(w, "\nLocal Volumes space usage:\n\n")
	if err := table(w, []string{"VOLUME NAME", "LINKS", "SIZE"}, lines); err != nil {
		return err
	}
	lines = nil
	for _, r := range all.BuildCache {
		lines = append(lines, []string{shortID(r.ID), r.CacheType, r.Size, r.CreatedSince, r.LastUsedSince, r.UsageCount, r.Shared})
	}
	fmt.Fprintf(w, "\nBuild cache usage: %s\n\n", size4(d.cacheSize()))
	return table(w, []string{"CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"}, lines)
}
