package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// currentContext is the context that hull uses now.
func (a *App) currentContext() string {
	_, name := a.chosen(a.given)
	return name
}

// defaultEndpoint is the daemon of the default context.
func (a *App) defaultEndpoint() string {
	return cmp.Or(a.Env("HULL_HOST"), a.Env("DOCKER_HOST"), defaultHost)
}

// overridden says so when the environment names a daemon, whatever the context is.
func (a *App) overridden(use string) {
	for _, name := range []string{"HULL_HOST", "DOCKER_HOST"} {
		if a.Env(name) != "" {
			fmt.Fprintf(a.Err, "Warning: %[1]s environment variable overrides the active context. To use %[2]s, either set the global --context flag, or unset %[1]s environment variable.\n", name, use)
			return
		}
	}
}

// contextRow has the fields of context ls --format.
type contextRow struct {
	Current                                  bool
	Description, DockerEndpoint, Error, Name string
}

func (a *App) contextList(_ context.Context, args []string) error {
	o := newOptions()
	quiet := o.flag("quiet", 'q', "Only show context names")
	format := o.text("format", 0, "", formatHelp)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	all, err := storedContexts()
	if err != nil {
		return err
	}
	current := a.currentContext()
	list := []contextRow{{Name: defaultContext, Description: "Current DOCKER_HOST based configuration", DockerEndpoint: a.defaultEndpoint(), Current: current == defaultContext}}
	found := current == defaultContext
	for _, m := range all {
		r := contextRow{Name: m.Name, Description: m.description(), DockerEndpoint: m.Endpoints["docker"].Host, Current: m.Name == current}
		if _, ok := m.Endpoints["docker"]; !ok {
			r.Error = `no endpoint "docker"`
		}
		found = found || r.Current
		list = append(list, r)
	}
	if !found {
		_, err := loadContext(current)
		list = append(list, contextRow{Name: current, Current: true, Error: fmt.Sprint(err)})
	}
	slices.SortFunc(list, func(a, b contextRow) int { return natural(a.Name, b.Name) })
	rows := make([]any, len(list))
	for i, r := range list {
		rows[i] = r
	}
	f := listFormat{
		text: *format, only: "{{.Name}}", quiet: *quiet,
		table:  "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
		header: map[string]string{"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR"},
	}
	if err := f.print(a.Out, rows); err != nil {
		return err
	}
	a.overridden("a context")
	return nil
}

// storedContexts reads all contexts.
func storedContexts() ([]*contextMeta, error) {
	dir, err := configDir()
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "contexts", "meta", "*", "meta.json"))
	if err != nil {
		return nil, err
	}
	var all []*contextMeta
	for _, name := range names {
		m, err := readContext(name)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func (a *App) contextShow(_ context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, a.currentContext())
	return nil
}

func (a *App) contextUse(_ context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	name := args[0]
	stored := name
	if name == defaultContext {
		stored = ""
	} else if _, err := loadContext(name); err != nil {
		return err
	}
	if a.settings().CurrentContext != stored {
		if err := setting("currentContext", stored); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.Out, name)
	fmt.Fprintf(a.Err, "Current context is now %q\n", name)
	if name != defaultContext {
		a.overridden(strconv.Quote(name))
	}
	return nil
}

func (a *App) contextRemove(_ context.Context, args []string) error {
	o := newOptions()
	force := o.flag("force", 'f', "Force the removal of a context in use")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	var errs []error
	for _, name := range args {
		if err := a.removeContext(name, *force); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(a.Out, name)
	}
	return errors.Join(errs...)
}

func (a *App) removeContext(name string, force bool) error {
	if name == defaultContext {
		return errors.New(`context "default" cannot be removed`)
	}
	meta, certs, err := contextDirs(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(meta); err != nil && !force {
		return fmt.Errorf("context %q does not exist", name)
	}
	if name == a.currentContext() && !force {
		return fmt.Errorf("context %q is in use, set -f flag to force remove", name)
	}
	if name == a.settings().CurrentContext {
		if err := setting("currentContext", ""); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(meta), os.RemoveAll(certs)); err != nil {
		return fmt.Errorf("failed to remove context %s: %w", name, err)
	}
	return nil
}

func (a *App) contextInspect(_ context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 'f', "", inspectFormatHelp)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{a.currentContext()}
	}
	return a.inspectAll(args, *format, func(name string) (json.RawMessage, any, error) {
		shown, err := a.describeContext(name)
		if err != nil {
			return nil, nil, err
		}
		raw, err := json.Marshal(shown)
		return raw, shown, err
	})
}

// shownContext is what inspect shows of a context.
type shownContext struct {
	contextMeta
	TLSMaterial map[string][]string
	Storage     struct{ MetadataPath, TLSPath string }
}

func (a *App) describeContext(name string) (*shownContext, error) {
	s := &shownContext{TLSMaterial: make(map[string][]string)}
	if name == defaultContext {
		s.contextMeta = contextMeta{Name: name, Metadata: map[string]any{}, Endpoints: map[string]contextEndpointMeta{"docker": {Host: a.defaultEndpoint()}}}
		s.Storage.MetadataPath, s.Storage.TLSPath = "<IN MEMORY>", "<IN MEMORY>"
		return s, nil
	}
	m, err := loadContext(name)
	if err != nil {
		return nil, err
	}
	s.contextMeta = *m
	if s.Metadata == nil {
		s.Metadata = map[string]any{}
	}
	if s.Storage.MetadataPath, s.Storage.TLSPath, err = contextDirs(name); err != nil {
		return nil, err
	}
	for end := range m.Endpoints {
		files, err := os.ReadDir(filepath.Join(s.Storage.TLSPath, filepath.Base(end)))
		for _, f := range files {
			s.TLSMaterial[end] = append(s.TLSMaterial[end], f.Name())
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return s, nil
}

// checkContextName takes a letter or digit, then more of these, '_', '.', '+' and '-'.
func checkContextName(name string) error {
	switch name {
	case "":
		return errors.New("context name cannot be empty")
	case defaultContext:
		return errors.New(`"default" is a reserved context name`)
	}
	for i, r := range name {
		alnum := r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
		if !alnum && (i == 0 || !strings.ContainsRune("_.+-", r)) || len(name) < 2 {
			return fmt.Errorf("context name %q is invalid, names are validated against regexp %q", name, "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$")
		}
	}
	return nil
}

func contextVerbs() []verb {
	return []verb{
		{"context create", "[OPTIONS] CONTEXT", "Create a context", (*App).contextCreate},
		{"context export", "CONTEXT [FILE|-]", "Export a context to a tar archive FILE or a tar stream on STDOUT.", (*App).contextExport},
		{"context import", "CONTEXT FILE|-", "Import a context from a tar or zip file", (*App).contextImport},
		{"context inspect", "[OPTIONS] [CONTEXT] [CONTEXT...]", "Display detailed information on one or more contexts", (*App).contextInspect},
		{"context ls", "[OPTIONS]", "List contexts", (*App).contextList},
		{"context list", "[OPTIONS]", "List contexts", (*App).contextList},
		{"context rm", "[OPTIONS] CONTEXT [CONTEXT...]", "Remove one or more contexts", (*App).contextRemove},
		{"context remove", "[OPTIONS] CONTEXT [CONTEXT...]", "Remove one or more contexts", (*App).contextRemove},
		{"context show", "", "Print the name of the current context", (*App).contextShow},
		{"context update", "[OPTIONS] CONTEXT", "Update a context", (*App).contextUpdate},
		{"context use", "CONTEXT", "Set the current context", (*App).contextUse},
	}
}
