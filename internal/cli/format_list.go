package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"text/template"
)

// formatHelp is the help of --format.
const formatHelp = "Format output using a custom template: 'table' (default), 'table TEMPLATE', 'json', or a Go template"

// listFormat is how a list is printed: its --format, which may be one of the words "table",
// "raw" and "json", and what they stand for.
type listFormat struct {
	text     string
	quiet    bool
	table    string // "table TEMPLATE"
	raw      string
	only     string // of each row with quiet; {{.ID}} if empty
	rawQuiet string
	header   map[string]string
}

// plain says whether the list is the table that it is without --format.
func (f *listFormat) plain() bool { return f.text == "" || f.text == "table" }

// check finds a wrong template before the daemon is asked.
func (f *listFormat) check(sample any) error {
	if f.plain() || f.text == "json" || f.text == "raw" {
		return nil
	}
	t, err := template.New("").Funcs(functions()).Parse(f.text)
	if err != nil {
		return fmt.Errorf("failed to parse template: %w", err)
	}
	if err := t.Execute(io.Discard, sample); err != nil {
		return fmt.Errorf("failed to execute template: %w", err)
	}
	return nil
}

// uses says whether the template shows a field.
func (f *listFormat) uses(field string) bool { return strings.Contains(f.text, "."+field) }

// print prints rows, which are structs of the template's fields.
func (f *listFormat) print(w io.Writer, rows []any) error {
	text := f.text
	switch {
	case f.quiet && f.text == "raw" && f.rawQuiet != "":
		text = f.rawQuiet
	case f.quiet:
		text = cmp.Or(f.only, "{{.ID}}")
	case f.plain():
		text = f.table
	case f.text == "raw" && f.raw != "":
		text = f.raw
	}
	rest, isTable := strings.CutPrefix(text, "table")
	if isTable {
		text = rest
	} else if text == "json" {
		text = "{{json .}}"
	}
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.Trim(text, " "))
	t, err := template.New("").Funcs(functions()).Parse(text)
	if err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	var b bytes.Buffer
	for _, row := range rows {
		if err := t.Execute(&b, row); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		b.WriteByte('\n')
	}
	if !isTable {
		_, err := b.WriteTo(w)
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	tw := tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)
	if err := t.Funcs(headerFunctions()).Execute(tw, columnNames(f.header)); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	fmt.Fprintln(tw)
	if _, err := b.WriteTo(tw); err != nil {
		return err
	}
	return errors.Join(tw.Flush(), out.Flush())
}

// columnNames are the titles of columns by field.
type columnNames map[string]string

// Label is the title of a label's column: the last part of its name.
func (columnNames) Label(name string) string {
	parts := strings.Split(name, ".")
	return strings.NewReplacer("-", " ", "_", " ").Replace(parts[len(parts)-1])
}

// headerFunctions leave titles as they are.
func headerFunctions() template.FuncMap {
	same := func(v string) string { return v }
	return template.FuncMap{
		"json": same, "title": same, "lower": same, "upper": same,
		"split":    func(v, _ string) string { return v },
		"join":     func(v, _ string) string { return v },
		"truncate": func(v string, _ int) string { return v },
	}
}

// setFilters adds filters to a query.
func setFilters(q url.Values, filters []string) error {
	f, err := filterQuery(filters)
	if err == nil && f != "" {
		q.Set("filters", f)
	}
	return err
}
