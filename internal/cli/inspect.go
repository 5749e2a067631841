package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/template"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
)

// object is a kind of thing that inspect shows.
type object struct {
	kind  string
	path  string            // of the API, before the name
	end   string            // after it
	sizes bool              // --size has a meaning
	typed func() any        // what a template sees first: Go's names of fields, zero values
	query func() url.Values // nil for none
}

const (
	inspectFormatHelp = "Format output using a custom template: 'json', or a Go template"
	inspectTypes      = `"config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"`
)

// objects are in the order in which a bare name is looked for.
func objects() []object {
	return []object{
		{"container", "/containers/", "/json", true, func() any { return new(container.InspectResponse) }, nil},
		{"image", "/images/", "/json", false, func() any { return new(image.InspectResponse) }, nil},
		{"network", "/networks/", "", false, func() any { return new(network.Inspect) }, nil},
		{"volume", "/volumes/", "", false, func() any { return new(volume.Volume) }, nil},
		{"plugin", "/plugins/", "/json", false, func() any { return new(map[string]any) }, nil},
	}
}

func (a *App) inspect(ctx context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 'f', "", inspectFormatHelp)
	kind := o.text("type", 0, "", "Only inspect objects of the given type")
	sizes := o.flag("size", 's', "Display total file sizes if the type is container")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	if o.changed("type") && *kind == "" {
		return errors.New("type is empty: must be one of " + inspectTypes)
	}
	all := objects()
	if *kind != "" {
		all = nil
		for _, obj := range objects() {
			if obj.kind == *kind {
				all = []object{obj}
			}
		}
		switch {
		case all != nil:
		case strings.Contains(inspectTypes, `"`+*kind+`"`):
			return fmt.Errorf("hull has no swarm, and so no objects of type %q", *kind)
		default:
			return fmt.Errorf("unknown type: %q: must be one of %s", *kind, inspectTypes)
		}
	}
	return a.inspectAll(args, *format, func(name string) (json.RawMessage, any, error) {
		for _, obj := range all {
			raw, err := a.look(ctx, obj, name, *sizes)
			if err != nil && *kind == "" && (missing(err) || skippable(err)) {
				continue
			}
			if err == nil && *sizes && !obj.sizes {
				fmt.Fprintln(a.Err, "WARNING: --size ignored for", obj.kind)
			}
			return raw, obj.typed(), err
		}
		return nil, nil, fmt.Errorf("Error: No such object: %s", name)
	})
}

// skippable is an error of a daemon that cannot have an object of that name or kind.
func skippable(err error) bool {
	return strings.Contains(err.Error(), "not supported") || strings.Contains(err.Error(), "invalid reference format")
}

// inspectKind is "container inspect" and its like.
func (a *App) inspectKind(ctx context.Context, args []string, kind string) error {
	o := newOptions()
	format := o.text("format", 'f', "", inspectFormatHelp)
	sizes := new(bool)
	if kind == "container" {
		sizes = o.flag("size", 's', "Display total file sizes")
	}
	verbose := new(bool)
	if kind == "network" {
		verbose = o.flag("verbose", 'v', "Verbose output for diagnostics")
	}
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	for _, obj := range objects() {
		if obj.kind != kind {
			continue
		}
		if *verbose {
			obj.query = func() url.Values { return url.Values{"verbose": {"true"}} }
		}
		return a.inspectAll(args, *format, func(name string) (json.RawMessage, any, error) {
			raw, err := a.look(ctx, obj, name, *sizes)
			return raw, obj.typed(), err
		})
	}
	return nil
}

// look gets one object.
func (a *App) look(ctx context.Context, obj object, name string, sizes bool) (json.RawMessage, error) {
	if strings.TrimSpace(name) == "" {
		return nil, fmt.Errorf("invalid %s name or ID: value is empty", obj.kind)
	}
	q := url.Values{}
	if obj.query != nil {
		q = obj.query()
	}
	if sizes && obj.sizes {
		q.Set("size", "1")
	}
	var raw json.RawMessage
	err := a.client.get(ctx, call{method: "GET", path: obj.path + name + obj.end, query: q}, &raw)
	return raw, err
}

// inspectAll prints objects as JSON or through a template; what is missing is said at the end.
func (a *App) inspectAll(names []string, format string, get func(name string) (raw json.RawMessage, typed any, err error)) error {
	var t *template.Template
	if format != "" && format != "json" {
		var err error
		if t, err = template.New("").Funcs(functions()).Parse(format); err != nil {
			return statusError{64, fmt.Sprintf("template parsing error: %v", err)}
		}
	}
	var errs []error
	var raws []json.RawMessage
	var text bytes.Buffer
	for _, name := range names {
		raw, typed, err := get(name)
		if err == nil && t != nil {
			err = execute(&text, t, raw, typed)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		raws = append(raws, raw)
	}
	if err := printObjects(a.Out, raws, t != nil, format, &text); err != nil {
		return err
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return nil
}

func printObjects(w io.Writer, raws []json.RawMessage, templated bool, format string, text *bytes.Buffer) error {
	if templated {
		if text.Len() == 0 {
			text.WriteByte('\n')
		}
		_, err := text.WriteTo(w)
		return err
	}
	if len(raws) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	var list, out bytes.Buffer
	list.WriteByte('[')
	for i, raw := range raws {
		if i > 0 {
			list.WriteByte(',')
		}
		list.Write(bytes.TrimSpace(raw))
	}
	list.WriteByte(']')
	var err error
	if format == "json" {
		err = json.Compact(&out, list.Bytes())
	} else {
		err = json.Indent(&out, list.Bytes(), "", "    ")
	}
	if err != nil {
		return fmt.Errorf("reading the answer of hulld: %w", err)
	}
	out.WriteByte('\n')
	_, err = out.WriteTo(w)
	return err
}

// execute runs a template on an object: first as the type that the API's documentation has, with
// the names of Go, then, for what that does not know, as the daemon wrote it.
func execute(w *bytes.Buffer, t *template.Template, raw json.RawMessage, typed any) error {
	var b bytes.Buffer
	if json.Unmarshal(raw, typed) == nil && t.Execute(&b, typed) == nil {
		b.WriteByte('\n')
		_, err := b.WriteTo(w)
		return err
	}
	b.Reset()
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // 1.98e+06 is no size
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("unable to read inspect data: %w", err)
	}
	if err := t.Option("missingkey=error").Execute(&b, v); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}
