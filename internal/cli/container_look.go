package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// changeRow has the fields of diff --format.
type changeRow struct{ Path, Type string }

func (a *App) containerDiff(ctx context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 0, "")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	path, err := containerPath(args[0])
	if err != nil {
		return err
	}
	var changes []struct {
		Path string
		Kind int
	}
	if err := a.client.get(ctx, call{method: "GET", path: path + "/changes"}, &changes); err != nil {
		return err
	}
	kinds := []string{"C", "A", "D"}
	rows := make([]any, len(changes))
	for i, c := range changes {
		kind := strconv.Itoa(c.Kind)
		if c.Kind >= 0 && c.Kind < len(kinds) {
			kind = kinds[c.Kind]
		}
		if isTerminal(a.Out) {
			c.Path = clean(c.Path) // the container chose it
		}
		rows[i] = changeRow{c.Path, kind}
	}
	f := listFormat{text: *format, table: "{{.Type}} {{.Path}}", header: map[string]string{"Type": "CHANGE TYPE", "Path": "PATH"}}
	if *format == "table" {
		f.table = "table {{.Type}}\t{{.Path}}"
	}
	return f.print(a.Out, rows)
}

func (a *App) containerTop(ctx context.Context, args []string) error {
	o := newOptions()
	args, err := o.parse(args, true)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	path, err := containerPath(args[0])
	if err != nil {
		return err
	}
	q := url.Values{}
	if len(args) > 1 {
		q.Set("ps_args", strings.Join(args[1:], " "))
	}
	var list struct {
		Titles    []string
		Processes [][]string
	}
	if err := a.client.get(ctx, call{method: "GET", path: path + "/top", query: q}, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.Out, 20, 1, 3, ' ', 0)
	for _, row := range append([][]string{list.Titles}, list.Processes...) {
		for i := range row {
			row[i] = clean(row[i]) // a process names itself
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

func (a *App) containerPort(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 2); err != nil {
		return err
	}
	path, err := containerPath(args[0])
	if err != nil {
		return err
	}
	var c struct {
		NetworkSettings struct{ Ports map[string][]portBinding }
	}
	if err := a.client.get(ctx, call{method: "GET", path: path + "/json"}, &c); err != nil {
		return err
	}
	var out []string
	if len(args) == 2 {
		port, protocol, _ := strings.Cut(args[1], "/")
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("Error: invalid port (%s): %w", port, err)
		}
		bindings := c.NetworkSettings.Ports[port+"/"+cmp.Or(protocol, "tcp")]
		if len(bindings) == 0 {
			return fmt.Errorf("Error: No public port '%s' published for %s", args[1], args[0])
		}
		for _, b := range bindings {
			out = append(out, net.JoinHostPort(b.HostIP, b.HostPort))
		}
	} else {
		for port, bindings := range c.NetworkSettings.Ports {
			for _, b := range bindings {
				out = append(out, port+" -> "+net.JoinHostPort(b.HostIP, b.HostPort))
			}
		}
	}
	slices.SortFunc(out, natural)
	for _, line := range out {
		fmt.Fprintln(a.Out, line)
	}
	return nil
}

// natural orders texts as people do: numbers in them by value.
func natural(a, b string) int {
	digits := func(s string) int {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n
	}
	for a != "" && b != "" {
		n, m := digits(a), digits(b)
		if n > 0 && m > 0 {
			x, y := strings.TrimLeft(a[:n], "0"), strings.TrimLeft(b[:m], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y), cmp.Compare(n, m)); c != 0 {
				return c
			}
			a, b = a[n:], b[m:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}
