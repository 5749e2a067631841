package keel

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
)

func listCommand() command {
	return command{
		name: "list", brief: "lists containers started by keel with the given root", max: 0,
		options: []option{
			{name: "format", short: "f", value: true, usage: "table or json (default: table)"},
			{name: "quiet", short: "q", usage: "display only container IDs"},
		},
		run: list,
	}
}

func list(r *ociruntime.Runtime, o options, _ []string) (int, error) {
	all, err := r.List()
	if err != nil {
		return 0, err
	}
	if o.is("quiet") {
		var b strings.Builder
		for _, c := range all {
			b.WriteString(c.ID + "\n")
		}
		_, err = os.Stdout.WriteString(b.String())
		return 0, err
	}
	format := o.get("format")
	if format != "" && format != "table" && format != "json" {
		return 0, errors.New("invalid format option")
	}
	names := ownerNames{}
	var rows []ocispec.Status
	for _, c := range all {
		uid, err := c.OwnerID()
		if err != nil {
			continue // deleted meanwhile
		}
		s := summary(c)
		s.Owner = names.of(uid)
		rows = append(rows, s)
	}
	if format == "json" {
		_, err = os.Stdout.Write(listJSON(rows))
	} else {
		_, err = os.Stdout.WriteString(listTable(rows))
	}
	return 0, err
}

// listJSON is one line; "null" when there is no container, as runc prints it.
func listJSON(rows []ocispec.Status) []byte {
	if len(rows) == 0 {
		return []byte("null\n")
	}
	w := &ocispec.Writer{}
	w.Open('[')
	for _, s := range rows {
		w.Element()
		s.Write(w)
	}
	w.Close(']')
	return append(w.B, '\n')
}

// listTable aligns columns as runc does: at least 12 wide, 3 blanks between.
func listTable(rows []ocispec.Status) string {
	cells := [][]string{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}}
	for _, s := range rows {
		cells = append(cells, []string{s.ID, strconv.Itoa(s.Pid), s.Status, s.Bundle, s.Created, s.Owner})
	}
	width := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, c := range row {
			width[i] = max(width[i], len(c)+3, 12)
		}
	}
	var b strings.Builder
	for _, row := range cells {
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len(c)))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ownerNames are user names by number, from the host's /etc/passwd, which is read once and
// only when there is a container to list.
type ownerNames map[uint32]string

func (n ownerNames) of(uid uint32) string {
	if len(n) == 0 {
		passwd, _ := readInput("/etc/passwd") // without it the numbers have to do
		for line := range strings.SplitSeq(string(passwd), "\n") {
			f := strings.SplitN(line, ":", 4)
			if len(f) < 4 {
				continue
			}
			if id, err := strconv.ParseUint(f[2], 10, 32); err == nil && n[uint32(id)] == "" {
				n[uint32(id)] = f[0]
			}
		}
	}
	if name := n[uid]; name != "" {
		return name
	}
	return "#" + strconv.FormatUint(uint64(uid), 10)
}
