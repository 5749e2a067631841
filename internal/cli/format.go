package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

// formatted prints items with --format: "json", a Go template, or "table" and a template.
// header are the column titles of a table by the template's field.
func formatted(w io.Writer, format string, items []any, header map[string]string) error {
	if format == "json" {
		for _, item := range items {
			if err := printJSON(w, item); err != nil {
				return err
			}
		}
		return nil
	}
	text, isTable := strings.CutPrefix(format, "table ")
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	t, err := template.New("format").Funcs(functions()).Parse(text)
	if err != nil {
		return misused("template parsing error: %v", err)
	}
	out := w
	if isTable {
		tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
		defer tw.Flush()
		out = tw
		items = append([]any{header}, items...)
	}
	for _, item := range items {
		var b bytes.Buffer
		if err := t.Execute(&b, item); err != nil {
			return fmt.Errorf("template: %w", err)
		}
		fmt.Fprintln(out, b.String())
	}
	return nil
}

// lineFormat prints items one by one as they come: "json", or a Go template.
func lineFormat(w io.Writer, format string) (func(any) error, error) {
	if format == "json" {
		return func(v any) error { return printJSON(w, v) }, nil
	}
	t, err := template.New("format").Funcs(functions()).Parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format))
	if err != nil {
		return nil, misused("template parsing error: %v", err)
	}
	return func(v any) error {
		var b bytes.Buffer
		if err := t.Execute(&b, v); err != nil {
			return fmt.Errorf("template: %w", err)
		}
		b.WriteByte('\n')
		_, err := w.Write(b.Bytes())
		return err
	}, nil
}

func printJSON(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", raw)
	return err
}

// functions are Docker's template functions.
func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			err := enc.Encode(v)
			return strings.TrimSpace(b.String()), err
		},
		"split":    strings.Split,
		"join":     join,
		"title":    strings.Title, //nolint:staticcheck // Docker's, for plain words
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"println":  fmt.Sprintln,
		"truncate": func(s string, n int) string { return s[:min(max(n, 0), len(s))] },
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
	}
}

// join takes what JSON decodes lists into, too.
func join(v any, sep string) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, sep)
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
		return strings.Join(out, sep)
	}
	return fmt.Sprint(v)
}
