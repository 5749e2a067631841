package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/docker/go-units"
)

// size4 is a number of bytes with four digits, as system df and prune show it.
func size4(n int64) string { return units.HumanSize(float64(n)) }

func (a *App) systemDF(ctx context.Context, args []string) error {
	o := newOptions()
	verbose := o.flag("verbose", 'v')
	format := o.text("format", 0, "")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return misused("system df takes no arguments")
	}
	var usage struct {
		LayersSize int64
		Images     []listedImage
	}
	if err := a.client.get(ctx, call{method: "GET", path: "/system/df", query: url.Values{"type": {"image"}}}, &usage); err != nil {
		return err
	}
	if *verbose {
		fmt.Fprint(a.Out, "Images space usage:\n\n")
		var lines [][]string
		for _, img := range usage.Images {
			for _, r := range imageRows([]listedImage{img}, false, false) {
				lines = append(lines, []string{r.Repository, r.Tag, r.ID, r.CreatedSince, size4(img.Size), size4(img.SharedSize), size4(img.Size - img.SharedSize), fmt.Sprint(img.Containers)})
			}
		}
		return table(a.Out, []string{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"}, lines)
	}
	// Nothing uses an image while there are no containers.
	share := ""
	if usage.LayersSize > 0 {
		share = " (100%)"
	}
	row := struct{ Type, TotalCount, Active, Size, Reclaimable string }{"Images", fmt.Sprint(len(usage.Images)), "0", size4(usage.LayersSize), size4(usage.LayersSize) + share}
	if *format != "" {
		return formatted(a.Out, *format, []any{row}, map[string]string{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"})
	}
	return table(a.Out, []string{"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"}, [][]string{{row.Type, row.TotalCount, row.Active, row.Size, row.Reclaimable}})
}

// raw gets an answer and prints it by a template, or calls show.
func (a *App) raw(ctx context.Context, args []string, path string, show func(json.RawMessage) error) error {
	o := newOptions()
	format := o.text("format", 'f', "")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return misused("%s takes no arguments", path[1:])
	}
	var answer json.RawMessage
	if err := a.client.get(ctx, call{method: "GET", path: path}, &answer); err != nil {
		return err
	}
	if *format != "" {
		return formatRaw(a.Out, *format, []json.RawMessage{answer})
	}
	return show(answer)
}

func (a *App) info(ctx context.Context, args []string) error {
	return a.raw(ctx, args, "/info", func(raw json.RawMessage) error {
		var i struct {
			Images                                                                                               int
			ServerVersion, Driver, KernelVersion, OperatingSystem, OSType, Architecture, Name, ID, DockerRootDir string
			NCPU                                                                                                 int
			MemTotal                                                                                             int64
			Warnings                                                                                             []string
		}
		if err := json.Unmarshal(raw, &i); err != nil {
			return err
		}
		for _, l := range [][2]string{
			{"Images", fmt.Sprint(i.Images)}, {"Server Version", i.ServerVersion}, {"Storage Driver", i.Driver},
			{"Kernel Version", i.KernelVersion}, {"Operating System", i.OperatingSystem}, {"OSType", i.OSType},
			{"Architecture", i.Architecture}, {"CPUs", fmt.Sprint(i.NCPU)}, {"Total Memory", units.BytesSize(float64(i.MemTotal))},
			{"Name", i.Name}, {"ID", i.ID}, {"Hull Root Dir", i.DockerRootDir},
		} {
			fmt.Fprintf(a.Out, "%s: %s\n", l[0], l[1])
		}
		for _, w := range i.Warnings {
			fmt.Fprintln(a.Err, "WARNING:", w)
		}
		return nil
	})
}

func (a *App) version(ctx context.Context, args []string) error {
	return a.raw(ctx, args, "/version", func(raw json.RawMessage) error {
		var v struct{ Version, ApiVersion, MinAPIVersion, GoVersion, GitCommit, KernelVersion string }
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "Client:\n Version:      %s\n Git commit:   %s\n API version:  %s\n\nServer:\n Version:      %s\n Git commit:   %s\n API version:  %s (minimum version %s)\n Go version:   %s\n Kernel:       %s\n",
			a.Version, a.Commit, apiVersion[2:], v.Version, v.GitCommit, v.ApiVersion, v.MinAPIVersion, v.GoVersion, v.KernelVersion)
		return nil
	})
}
