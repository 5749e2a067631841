package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

func (a *App) imageSave(ctx context.Context, args []string) (err error) {
	o := newOptions()
	output := o.text("output", 'o', "", "Write to a file, instead of STDOUT")
	platform := o.list("platform", 0, "Only these platforms, os/arch[/variant],...")
	args, err = o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return misused("save takes at least one image")
	}
	if *output == "" && terminalWidth(a.Out) > 0 {
		return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
	}
	q := url.Values{"names": args}
	if err := platformQuery(q, "platform", *platform); err != nil {
		return err
	}
	body, err := a.client.do(ctx, call{method: "GET", path: "/images/get", query: q})
	if err != nil {
		return err
	}
	defer body.Close()
	if *output == "" {
		_, err = io.Copy(a.Out, body)
		return err
	}
	return saveFile(*output, body)
}

// saveFile writes an archive beside its name first, so that a broken one does not look whole.
func saveFile(name string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".hull-save-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("saving to %s: %w", name, err)
	}
	return nil
}

func (a *App) imageLoad(ctx context.Context, args []string) error {
	o := newOptions()
	input := o.text("input", 'i', "", "Read from tar archive file, instead of STDIN")
	quiet := o.flag("quiet", 'q', "Suppress the load output")
	platform := o.list("platform", 0, "Only these platforms, os/arch[/variant],...")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return misused("load takes no arguments; -i names the archive")
	}
	in := a.In
	if *input != "" {
		f, err := os.Open(*input)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	} else if f, ok := in.(*os.File); ok && terminalWidth(f) > 0 {
		return errors.New("requested load from stdin, but stdin is empty")
	}
	q := url.Values{"quiet": {"0"}}
	if err := platformQuery(q, "platform", *platform); err != nil {
		return err
	}
	if *quiet || terminalWidth(a.Out) == 0 {
		q.Set("quiet", "1")
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/load", query: q, body: in, header: http.Header{"Content-Type": {"application/x-tar"}}})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = a.show(body, false)
	return err
}

func (a *App) imageImport(ctx context.Context, args []string) error {
	o := newOptions()
	changes := o.list("change", 'c', "Apply Dockerfile instruction to the created image")
	message := o.text("message", 'm', "", "Set commit message for imported image")
	platform := o.text("platform", 0, "", "Platform of the image")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) < 1 || len(args) > 2 {
		return misused("import takes a file or -, and a name")
	}
	source, in := "-", a.In
	switch {
	case strings.HasPrefix(args[0], "http://"), strings.HasPrefix(args[0], "https://"):
		source, in = args[0], nil // hulld fetches it
	case args[0] != "-":
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	q := url.Values{"fromSrc": {source}, "changes": *changes}
	if *message != "" {
		q.Set("message", *message)
	}
	if *platform != "" {
		q.Set("platform", *platform)
	}
	if len(args) == 2 {
		repo, tag := splitReference(args[1])
		q.Set("repo", repo)
		q.Set("tag", tag)
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/create", query: q, body: in, header: http.Header{"Content-Type": {"text/plain"}}})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = a.show(body, false)
	return err
}

// formatRaw runs a template over answers.
func formatRaw(w io.Writer, format string, raws []json.RawMessage) error {
	if format == "json" {
		for _, r := range raws {
			fmt.Fprintf(w, "%s\n", strings.TrimSpace(string(r)))
		}
		return nil
	}
	var items []any
	for _, r := range raws {
		var v any
		dec := json.NewDecoder(strings.NewReader(string(r)))
		dec.UseNumber() // 1.98e+06 is no size
		if err := dec.Decode(&v); err != nil {
			return err
		}
		items = append(items, v)
	}
	return formatted(w, format, items, nil)
}
