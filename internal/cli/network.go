package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// networkRow has the fields of network ls --format.
type networkRow struct {
	CreatedAt, Driver, ID, IPv4, IPv6, Internal, Labels, Name, Scope string

	labels map[string]string
}

// Label is the value of one label.
func (r networkRow) Label(name string) string { return r.labels[name] }

func (a *App) networkList(ctx context.Context, args []string) error {
	o := newOptions()
	quiet := o.flag("quiet", 'q', "Only display network IDs")
	whole := o.flag("no-trunc", 0, "Do not truncate the output")
	format := o.text("format", 0, "", formatHelp)
	filters := o.filter('f', "Provide filter values (e.g. \"driver=bridge\")")
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
	var list []struct {
		Name, Driver, Scope              string
		ID                               string `json:"Id"`
		Created                          time.Time
		EnableIPv4, EnableIPv6, Internal bool
		Labels                           map[string]string
	}
	if err := a.client.get(ctx, call{method: "GET", path: "/networks", query: q}, &list); err != nil {
		return err
	}
	rows := make([]any, len(list))
	for i, n := range list {
		r := networkRow{
			CreatedAt: n.Created.String(), Driver: n.Driver, ID: n.ID, Name: n.Name, Scope: n.Scope, Labels: joinLabels(n.Labels), labels: n.Labels,
			IPv4: strconv.FormatBool(n.EnableIPv4), IPv6: strconv.FormatBool(n.EnableIPv6), Internal: strconv.FormatBool(n.Internal),
		}
		if !*whole {
			r.ID = shortID(n.ID)
		}
		rows[i] = r
	}
	slices.SortStableFunc(rows, func(a, b any) int { return natural(a.(networkRow).Name, b.(networkRow).Name) })
	if *format == "" && !*quiet {
		*format = a.settings().NetworksFormat
	}
	f := listFormat{
		text: *format, table: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", rawQuiet: "network_id: {{.ID}}",
		raw: "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
		header: map[string]string{
			"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
			"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
		},
	}
	f.quiet = *quiet && (f.plain() || f.text == "raw")
	return f.print(a.Out, rows)
}

func (a *App) networkConnect(ctx context.Context, args []string) error {
	o := newOptions()
	ip := o.text("ip", 0, "", "IPv4 address (e.g., \"172.30.100.104\")")
	ip6 := o.text("ip6", 0, "", "IPv6 address (e.g., \"2001:db8::33\")")
	links := o.checked("link", 0, "Add link to another container", checkLink)
	aliases := o.commas("alias", "Add network-scoped alias for the container")
	linkLocal := o.commas("link-local-ip", "Add a link-local address for the container")
	driverOpts := o.commas("driver-opt", "driver options for the network")
	priority := o.number("gw-priority", 0, "int", 0, "Highest gw-priority provides the default gateway. Accepts positive and negative values.")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 2, 2); err != nil {
		return err
	}
	e := endpointSettings{IPAMConfig: &endpointIPAM{*ip, *ip6, *linkLocal}, Links: *links, Aliases: never(*aliases), DriverOpts: make(map[string]string), GwPriority: int(*priority)}
	for _, d := range *driverOpts {
		k, v, ok := strings.Cut(d, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return errors.New("invalid key/value pair format in driver options")
		}
		e.DriverOpts[k] = strings.TrimSpace(v)
	}
	body := struct {
		Container      string
		EndpointConfig endpointSettings
	}{args[1], e}
	return a.client.post(ctx, "/networks/"+args[0]+"/connect", nil, body, nil)
}

// commas is a list whose values may themselves be lists, with commas between.
func (o *options) commas(name, help string) *[]string {
	v := new([]string)
	o.value(name, 0, "strings", help, func(s string) error {
		if s != "" {
			*v = append(*v, strings.Split(s, ",")...)
		}
		return nil
	})
	return v
}

func (a *App) networkDisconnect(ctx context.Context, args []string) error {
	o := newOptions()
	force := o.flag("force", 'f', "Force the container to disconnect from a network")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 2, 2); err != nil {
		return err
	}
	body := struct {
		Container string
		Force     bool
	}{args[1], *force}
	return a.client.post(ctx, "/networks/"+args[0]+"/disconnect", nil, body, nil)
}

func (a *App) networkRemove(ctx context.Context, args []string) error {
	o := newOptions()
	force := o.flag("force", 'f', "Do not error if the network does not exist")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	failed := false
	for _, name := range args {
		err := a.client.get(ctx, call{method: "DELETE", path: "/networks/" + name}, nil)
		switch {
		case err == nil:
			fmt.Fprintln(a.Out, name)
		case *force && missing(err):
		default:
			fmt.Fprintln(a.Err, err)
			failed = true
		}
	}
	if failed {
		return errors.New("exit status 1")
	}
	return nil
}

func networkVerbs() []verb {
	return []verb{
		{"network connect", "[OPTIONS] NETWORK CONTAINER", "Connect a container to a network", (*App).networkConnect},
		{"network create", "[OPTIONS] NETWORK", "Create a network", (*App).networkCreate},
		{"network disconnect", "[OPTIONS] NETWORK CONTAINER", "Disconnect a container from a network", (*App).networkDisconnect},
		{"network inspect", "[OPTIONS] NETWORK [NETWORK...]", "Display detailed information on one or more networks", func(a *App, ctx context.Context, args []string) error {
			return a.inspectKind(ctx, args, "network")
		}},
		{"network ls", "[OPTIONS]", "List networks", (*App).networkList},
		{"network list", "[OPTIONS]", "List networks", (*App).networkList},
		{"network prune", "[OPTIONS]", "Remove all unused networks", func(a *App, ctx context.Context, args []string) error {
			return a.pruneVerb(ctx, "networks", args)
		}},
		{"network rm", "NETWORK [NETWORK...]", "Remove one or more networks", (*App).networkRemove},
		{"network remove", "NETWORK [NETWORK...]", "Remove one or more networks", (*App).networkRemove},
	}
}
