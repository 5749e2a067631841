package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
)

// clusterOptions are the options of volumes of a swarm, which hull has none of.
var clusterOptions = []string{"availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred", "topology-required", "type"}

// errNoSwarm refuses what only a swarm has.
func errNoSwarm(option string) error {
	return fmt.Errorf("--%s is of cluster volumes, which need a swarm; Hull has none", option)
}

func (a *App) volumeCreate(ctx context.Context, args []string) error {
	o := newOptions()
	driver := o.text("driver", 'd', "local", "Specify volume driver name")
	name := o.text("name", 0, "")
	opts := o.pairs("opt", 'o', "Set driver specific options", nil)
	labels := o.checked("label", 0, "Set metadata for a volume", checkLabel)
	for _, c := range clusterOptions {
		o.value(c, 0, "string", "", func(string) error { return errNoSwarm(c) })
	}
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 1); err != nil {
		return err
	}
	if len(args) == 1 {
		if *name != "" {
			return errors.New("conflicting options: cannot specify a volume-name through both --name and as a positional arg")
		}
		*name = args[0]
	}
	body := struct {
		Driver     string
		DriverOpts map[string]string `json:",omitempty"`
		Labels     map[string]string `json:",omitempty"`
		Name       string
	}{*driver, opts, pairMap(*labels), *name}
	var made struct{ Name string }
	if err := a.client.post(ctx, "/volumes/create", nil, body, &made); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, made.Name)
	return nil
}

// volumeRow has the fields of volume ls --format.
type volumeRow struct {
	Availability, Driver, Group, Labels, Links, Mountpoint, Name, Scope, Size, Status string

	labels map[string]string
}

// Label is the value of one label.
func (r volumeRow) Label(name string) string { return r.labels[name] }

// listedVolume is what lists show of a volume.
type listedVolume struct {
	Name, Driver, Scope, Mountpoint string
	Labels                          map[string]string
	UsageData                       *struct{ RefCount, Size int64 }
}

func (v *listedVolume) row() volumeRow {
	r := volumeRow{
		Availability: "N/A", Group: "N/A", Status: "N/A", Links: "N/A", Size: "N/A",
		Driver: v.Driver, Labels: joinLabels(v.Labels), Mountpoint: v.Mountpoint, Name: v.Name, Scope: v.Scope, labels: v.Labels,
	}
	if v.UsageData != nil {
		r.Links, r.Size = strconv.FormatInt(v.UsageData.RefCount, 10), size4(v.UsageData.Size)
	}
	return r
}

var volumeHeader = map[string]string{
	"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS", "Links": "LINKS",
	"Size": "SIZE", "Group": "GROUP", "Availability": "AVAILABILITY", "Status": "STATUS", "ID": "ID",
}

func (a *App) volumeList(ctx context.Context, args []string) error {
	o := newOptions()
	quiet := o.flag("quiet", 'q', "Only display volume names")
	format := o.text("format", 0, "", formatHelp)
	filters := o.filter('f', "Provide filter values (e.g. \"dangling=true\")")
	o.value("cluster", 0, "", "", func(string) error { return errNoSwarm("cluster") })
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	q := url.Values{}
	if err := setFilters(q, *filters); err != nil {
		return err
	}
	var answer struct{ Volumes []listedVolume }
	if err := a.client.get(ctx, call{method: "GET", path: "/volumes", query: q}, &answer); err != nil {
		return err
	}
	slices.SortFunc(answer.Volumes, func(a, b listedVolume) int { return natural(a.Name, b.Name) })
	if *format == "" && !*quiet {
		*format = a.settings().VolumesFormat
	}
	rows := make([]any, len(answer.Volumes))
	for i := range answer.Volumes {
		rows[i] = answer.Volumes[i].row()
	}
	f := listFormat{text: *format, header: volumeHeader, only: "{{.Name}}", table: "table {{.Driver}}\t{{.Name}}", raw: "name: {{.Name}}\ndriver: {{.Driver}}\n", rawQuiet: "name: {{.Name}}"}
	f.quiet = *quiet && (f.plain() || f.text == "raw")
	return f.print(a.Out, rows)
}

func (a *App) volumeRemove(ctx context.Context, args []string) error {
	o := newOptions()
	force := o.flag("force", 'f', "Force the removal of one or more volumes")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	q := url.Values{}
	if *force {
		q.Set("force", "1")
	}
	var errs []error
	for _, name := range args {
		if err := a.client.get(ctx, call{method: "DELETE", path: "/volumes/" + name, query: q}, nil); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(a.Out, name)
	}
	return errors.Join(errs...)
}

// volumeUpdate changes volumes of a swarm only, so it always says why not.
func (a *App) volumeUpdate(ctx context.Context, args []string) error {
	o := newOptions()
	o.text("availability", 0, "active", "Cluster Volume availability (\"active\", \"pause\", \"drain\")")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	if err := a.client.get(ctx, call{method: "GET", path: "/volumes/" + args[0]}, nil); err != nil {
		return err
	}
	return errors.New("can only update cluster volumes")
}

func volumeVerbs() []verb {
	return []verb{
		{"volume create", "[OPTIONS] [VOLUME]", "Create a volume", (*App).volumeCreate},
		{"volume inspect", "[OPTIONS] VOLUME [VOLUME...]", "Display detailed information on one or more volumes", func(a *App, ctx context.Context, args []string) error {
			return a.inspectKind(ctx, args, "volume")
		}},
		{"volume ls", "[OPTIONS]", "List volumes", (*App).volumeList},
		{"volume list", "[OPTIONS]", "List volumes", (*App).volumeList},
		{"volume prune", "[OPTIONS]", "Remove unused local volumes", func(a *App, ctx context.Context, args []string) error {
			return a.pruneVerb(ctx, "volumes", args)
		}},
		{"volume rm", "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes", (*App).volumeRemove},
		{"volume remove", "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes", (*App).volumeRemove},
		{"volume update", "[OPTIONS] VOLUME", "Update a volume (cluster volumes only)", (*App).volumeUpdate},
	}
}
