package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/hull-dev/hull/internal/reference"
)

// listedContainer is what ps shows of the daemon's answer.
type listedContainer struct {
	ID              string `json:"Id"`
	Names           []string
	Image, ImageID  string
	Command         string
	Created         int64
	Ports           []listedPort
	State, Status   string
	SizeRw          int64
	SizeRootFs      int64
	Labels          map[string]string
	Mounts          []struct{ Name, Source, Driver string }
	NetworkSettings struct{ Networks map[string]struct{} }
	Health          struct{ Status string } // since 1.52
	Platform        struct {
		Platform *struct{ OS, Architecture, Variant string } `json:"platform"`
	} `json:"ImageManifestDescriptor"`
}

type listedPort struct {
	IP          string
	PrivatePort uint16
	PublicPort  uint16
	Type        string
}

// containerRow has the fields of ps --format, in the order that json shows them.
type containerRow struct {
	Command, CreatedAt, ID, Image, Labels, LocalVolumes, Mounts, Names, Networks string
	Platform                                                                     *platformName
	Ports, RunningFor, Size, State, Status                                       string

	labels map[string]string
	health string
}

// Label is the value of one label.
func (r containerRow) Label(name string) string { return r.labels[name] }

// HealthStatus is "starting", "healthy" or "unhealthy"; empty without a health check. Daemons
// before 1.52 say it in the status only.
func (r containerRow) HealthStatus() string {
	if r.health != "" {
		return r.health
	}
	_, health, ok := strings.Cut(r.Status, "(")
	health, end := strings.CutSuffix(strings.TrimPrefix(health, "health: "), ")")
	switch {
	case !ok || !end:
		return ""
	case health == "healthy" || health == "unhealthy" || health == "starting":
		return health
	}
	return ""
}

// platformName prints as linux/arm/v7.
type platformName struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

func (p platformName) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

var containerHeader = map[string]string{
	"ID": "CONTAINER ID", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
	"Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS",
	"LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Platform": "PLATFORM", "HealthStatus": "HEALTH STATUS",
}

const (
	containerTable = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
	containerRaw   = `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
`
)

func (a *App) containerList(ctx context.Context, args []string) error {
	o := newOptions()
	all := o.flag("all", 'a', "Show all containers (default shows just running)")
	quiet := o.flag("quiet", 'q', "Only display container IDs")
	sizes := o.flag("size", 's', "Display total file sizes")
	whole := o.flag("no-trunc", 0, "Don't truncate output")
	latest := o.flag("latest", 'l', "Show the latest created container (includes all states)")
	last := o.number("last", 'n', "int", -1, "Show n last created containers (includes all states)")
	format := o.text("format", 0, "", formatHelp)
	filters := o.filter('f', "Filter output based on conditions provided")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	if *format == "" {
		*format = a.settings().PsFormat
	} else if *quiet {
		fmt.Fprintln(a.Err, "WARNING: Ignoring custom format, because both --format and --quiet are set.")
	}
	f := listFormat{text: *format, quiet: *quiet, header: containerHeader}
	if err := f.check(containerRow{Platform: &platformName{}}); err != nil {
		return err
	}
	if !*quiet && !o.changed("size") && f.uses("Size") {
		*sizes = true
	}
	if *latest && *last == -1 {
		*last = 1
	}
	q := url.Values{}
	if *all {
		q.Set("all", "1")
	}
	if *last > 0 {
		q.Set("limit", strconv.FormatInt(*last, 10))
	}
	if *sizes {
		q.Set("size", "1")
	}
	if err := setFilters(q, *filters); err != nil {
		return err
	}
	var list []listedContainer
	if err := a.client.get(ctx, call{method: "GET", path: "/containers/json", query: q}, &list); err != nil {
		return err
	}
	if f.plain() && !*quiet {
		return table(a.Out, containerColumns(*sizes), containerLines(list, *whole, *sizes))
	}
	rows := make([]any, len(list))
	for i := range list {
		rows[i] = list[i].row(*whole)
	}
	f.table, f.raw = containerTable, containerRaw
	if *sizes {
		f.table += "\t{{.Size}}"
		f.raw += "size: {{.Size}}\n"
	}
	return f.print(a.Out, rows)
}

func containerColumns(sizes bool) []string {
	h := []string{"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"}
	if sizes {
		h = append(h, "SIZE")
	}
	return h
}

func containerLines(list []listedContainer, whole, sizes bool) [][]string {
	lines := make([][]string, len(list))
	for i := range list {
		r := list[i].row(whole)
		lines[i] = []string{r.ID, r.Image, r.Command, r.RunningFor, r.Status, r.Ports, r.Names}
		if sizes {
			lines[i] = append(lines[i], r.Size)
		}
	}
	return lines
}

func (c *listedContainer) row(whole bool) containerRow {
	r := containerRow{
		ID: c.ID, Image: c.image(whole), State: c.State, Status: c.Status, Ports: displayPorts(c.Ports), labels: c.Labels, health: c.Health.Status,
		CreatedAt: time.Unix(c.Created, 0).String(), RunningFor: ago(c.Created),
		Networks: strings.Join(slices.Sorted(maps.Keys(c.NetworkSettings.Networks)), ","), Labels: joinLabels(c.Labels),
		Size: size(c.SizeRw), Names: c.names(whole),
	}
	command := c.Command
	if !whole {
		r.ID, command = shortID(c.ID), ellipsis(c.Command, 20)
	}
	r.Command = strconv.Quote(command)
	if c.SizeRootFs > 0 {
		r.Size += " (virtual " + size(c.SizeRootFs) + ")"
	}
	local := 0
	var mounts []string
	for _, m := range c.Mounts {
		if m.Driver == "local" {
			local++
		}
		name := cmp.Or(m.Name, m.Source)
		if !whole {
			name = ellipsis(name, 15)
		}
		mounts = append(mounts, name)
	}
	r.Mounts, r.LocalVolumes = strings.Join(mounts, ","), strconv.Itoa(local)
	if p := c.Platform.Platform; p != nil {
		r.Platform = &platformName{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
	}
	return r
}

// names are a container's own name and, if everything is wanted, those that links give it.
func (c *listedContainer) names(whole bool) string {
	var names []string
	for _, n := range c.Names {
		n = strings.TrimPrefix(n, "/")
		if !whole && !strings.Contains(n, "/") {
			return n
		}
		names = append(names, n)
	}
	return strings.Join(names, ",")
}

// image is an image's name without its digest.
func (c *listedContainer) image(whole bool) string {
	switch {
	case c.Image == "":
		return "<no image>"
	case whole:
		return c.Image
	case shortID(c.Image) == shortID(c.ImageID):
		return shortID(c.Image)
	}
	ref, err := reference.Parse(c.Image)
	if err != nil {
		return c.Image
	}
	ref.Digest = ""
	return ref.Familiar()
}

// joinLabels is "a=1,b=2", in order.
func joinLabels(labels map[string]string) string {
	var all []string
	for k, v := range labels {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// displayPorts is "0.0.0.0:80->9090/tcp, 9988-9990/tcp": ports that follow one another, and are
// the same outside, are one.
func displayPorts(ports []listedPort) string {
	slices.SortFunc(ports, func(a, b listedPort) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.IP, b.IP), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type))
	})
	type span struct{ first, last uint16 }
	spans := make(map[listedPort]*span) // by IP and type
	var order []listedPort
	var done, mapped []string
	say := func(key listedPort, s *span) {
		text := strconv.Itoa(int(s.first))
		if s.first != s.last {
			text += "-" + strconv.Itoa(int(s.last))
		}
		if key.IP != "" {
			text = fmt.Sprintf("%s:%s->%s", bracketed(key.IP), text, text)
		}
		done = append(done, text+"/"+key.Type)
	}
	for _, p := range ports {
		if p.IP != "" && p.PublicPort != p.PrivatePort {
			mapped = append(mapped, fmt.Sprintf("%s->%d/%s", net.JoinHostPort(p.IP, strconv.Itoa(int(p.PublicPort))), p.PrivatePort, p.Type))
			continue
		}
		key := listedPort{IP: p.IP, Type: p.Type}
		s := spans[key]
		switch {
		case s == nil:
			spans[key] = &span{p.PrivatePort, p.PrivatePort}
			order = append(order, key)
		case p.PrivatePort == s.last+1:
			s.last = p.PrivatePort
		default:
			say(key, s)
			spans[key] = &span{p.PrivatePort, p.PrivatePort}
		}
	}
	for _, key := range order {
		say(key, spans[key])
	}
	return strings.Join(append(done, mapped...), ", ")
}

func bracketed(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}

// runningFor is "3 days ago" of a point in time.
func runningFor(t time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(time.Since(t)) + " ago"
}
