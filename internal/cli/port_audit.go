package cli

import (
	"context"
	"net"
	"strconv"
)

// openPortRow has the fields of port audit --format.
type openPortRow struct {
	Host, Protocol, Reach, Firewall, Container, ContainerPort, Network, ID string
}

// portAudit lists every port of the host that leads to a container, who opened it and who can reach it.
func (a *App) portAudit(ctx context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 0, "", formatHelp)
	whole := o.flag("no-trunc", 0, "Do not truncate the output")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	var list []struct {
		Protocol, HostIP, Container, Name, Network, Reach, Firewall string
		HostPort, ContainerPort                                     uint16
	}
	if err := a.client.get(ctx, call{method: "GET", path: "/hull/ports"}, &list); err != nil {
		return err
	}
	rows := make([]any, len(list))
	for i, p := range list {
		r := openPortRow{
			Host: net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.HostPort))), Protocol: p.Protocol, Reach: p.Reach, Firewall: p.Firewall,
			Container: p.Name, ContainerPort: strconv.Itoa(int(p.ContainerPort)), Network: p.Network, ID: p.Container,
		}
		if r.Firewall == "" {
			r.Firewall = "-"
		}
		if !*whole {
			r.ID = shortID(p.Container)
		}
		rows[i] = r
	}
	f := listFormat{
		text: *format, table: "table {{.Host}}\t{{.Protocol}}\t{{.Reach}}\t{{.Firewall}}\t{{.Container}}\t{{.ContainerPort}}\t{{.Network}}",
		header: map[string]string{
			"Host": "HOST", "Protocol": "PROTO", "Reach": "REACHED BY", "Firewall": "JUDGED BY", "Container": "CONTAINER",
			"ContainerPort": "PORT", "Network": "NETWORK", "ID": "CONTAINER ID",
		},
	}
	return f.print(a.Out, rows)
}
