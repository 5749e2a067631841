package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// certFiles are the files of an endpoint by the keys of --docker.
var certFiles = map[string]string{"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}

// endpointOption declares --docker KEY=VALUE,….
func endpointOption(o *options) map[string]string {
	v := make(map[string]string)
	o.value("docker", 0, "stringToString", "set the docker endpoint (host=, ca=, cert=, key=, from=)", func(s string) error {
		fields, err := csv.NewReader(strings.NewReader(s)).Read()
		if err != nil {
			return err
		}
		for _, f := range fields {
			k, val, ok := strings.Cut(f, "=")
			if !ok {
				return fmt.Errorf("%s must be formatted as key=value", f)
			}
			v[k] = val
		}
		return nil
	})
	return v
}

// newEndpoint makes an endpoint and its files from the keys of --docker.
func (a *App) newEndpoint(keys map[string]string) (contextEndpointMeta, map[string][]byte, error) {
	var end contextEndpointMeta
	files := make(map[string][]byte)
	for k, v := range keys {
		switch k {
		case "from", "host":
		case "ca", "cert", "key":
			raw, err := readBounded(v, maxContext)
			if err != nil {
				return end, nil, err
			}
			files[certFiles[k]] = raw
		case "skip-tls-verify":
			skip, err := strconv.ParseBool(v)
			if err != nil {
				return end, nil, fmt.Errorf("skip-tls-verify: %w", err)
			}
			if skip {
				return end, nil, errors.New("hull always verifies the daemon's certificate; skip-tls-verify is not possible")
			}
		default:
			return end, nil, fmt.Errorf("unrecognized config key: %s", k)
		}
	}
	if from, ok := keys["from"]; ok {
		m, err := a.describeContext(from)
		if err != nil {
			return end, nil, err
		}
		end, ok = m.Endpoints["docker"]
		if !ok {
			return end, nil, fmt.Errorf("unable to get endpoint from context %q", from)
		}
		return end, files, nil
	}
	end.Host = keys["host"]
	if _, err := parseHost(end.Host, len(files) > 0); err != nil {
		return end, nil, fmt.Errorf("invalid docker endpoint options: %w", err)
	}
	return end, files, nil
}

// storeContext writes a context and, unless files is nil, replaces the files of its endpoint.
func storeContext(m *contextMeta, files map[string][]byte) error {
	meta, certs, err := contextDirs(m.Name)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if files != nil {
		dir := filepath.Join(certs, "docker")
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		for name, data := range files {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(meta, 0o755); err != nil {
		return err
	}
	return replaceFile(filepath.Join(meta, "meta.json"), raw)
}

func (a *App) contextCreate(_ context.Context, args []string) error {
	o := newOptions()
	description := o.text("description", 0, "", "Description of the context")
	keys := endpointOption(o)
	from := o.text("from", 0, "", "create context from a named context")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	name := args[0]
	if err := checkContextName(name); err != nil {
		return err
	}
	if _, err := loadContext(name); err == nil {
		return fmt.Errorf("context %q already exists", name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("error while getting existing contexts: %w", err)
	}
	m := &contextMeta{Name: name, Metadata: make(map[string]any), Endpoints: make(map[string]contextEndpointMeta)}
	if *description != "" {
		m.Metadata["Description"] = *description
	}
	var files map[string][]byte
	switch {
	case o.changed("docker") && *from != "":
		return errors.New("cannot use --docker flag when --from is set")
	case o.changed("docker"):
		if m.Endpoints["docker"], files, err = a.newEndpoint(keys); err != nil {
			return fmt.Errorf("unable to create docker endpoint config: %w", err)
		}
	default:
		source := *from
		if source == "" {
			source = a.currentContext()
		}
		if files, err = a.copyContext(m, source, *description); err != nil {
			return err
		}
	}
	if err := storeContext(m, files); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, name)
	fmt.Fprintf(a.Err, "Successfully created context %q\n", name)
	return nil
}

// copyContext fills a context from another.
func (a *App) copyContext(m *contextMeta, source, description string) (files map[string][]byte, err error) {
	s, err := a.describeContext(source)
	if err != nil {
		return nil, err
	}
	m.Endpoints = s.Endpoints
	if description == "" && s.description() != "" {
		m.Metadata["Description"] = s.description()
	}
	return contextFiles(source)
}

// contextFiles are the files of a stored context's endpoint.
func contextFiles(name string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	_, certs, err := contextDirs(name)
	if err != nil {
		return nil, err
	}
	for _, f := range certFiles {
		raw, err := readBounded(filepath.Join(certs, "docker", f), maxContext)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[f] = raw
	}
	return files, nil
}

func (a *App) contextUpdate(_ context.Context, args []string) error {
	o := newOptions()
	description := o.text("description", 0, "", "Description of the context")
	keys := endpointOption(o)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	name := args[0]
	if err := checkContextName(name); err != nil {
		return err
	}
	m, err := loadContext(name)
	if err != nil {
		return err
	}
	if *description != "" {
		if m.Metadata == nil {
			m.Metadata = make(map[string]any)
		}
		m.Metadata["Description"] = *description
	}
	var files map[string][]byte
	if o.changed("docker") {
		end, f, err := a.newEndpoint(keys)
		if err != nil {
			return fmt.Errorf("unable to create docker endpoint config: %w", err)
		}
		if m.Endpoints == nil {
			m.Endpoints = make(map[string]contextEndpointMeta)
		}
		m.Endpoints["docker"], files = end, f
	}
	if err := storeContext(m, files); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, name)
	fmt.Fprintf(a.Err, "Successfully updated context %q\n", name)
	return nil
}
