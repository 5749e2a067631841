package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/hull-dev/hull/internal/reference"
)

// HostsDir is a directory of configurations, <dir>/<registry>/hosts.toml, and <dir>/_default/hosts.toml for registries without
// one. The file is containerd's:
//
//	server = "https://registry.example"        # the upstream; this is what it is without the line
//	ca = "ca.pem"                              # or a list; further authorities, relative to the file
//	client = [["client.cert", "client.key"]]
//	skip_verify = false
//	realms = ["auth.example"]                  # Hull's: hosts that may be the upstream's token server
//	chunk_size = 0                             # Hull's: bytes of an upload's requests
//
//	[host."https://mirror.example:5000"]       # asked before the upstream, in the order of the file
//	  capabilities = ["pull", "resolve"]       # "push" too, if the mirror may be written to
//	  override_path = false                    # true: the URL's path is the whole API root, without /v2
//	  [host."https://mirror.example:5000".header]
//	    X-Name = "value"
//
// Each host has the fields of the upstream as well. http:// in a URL is what allows plain HTTP. A field that is not known is
// an error: a misspelt skip_verify or ca must not be a silent one. Files are read when a client first meets a registry.
type HostsDir string

const maxConfig = 1 << 20 // bytes of a configuration, a certificate or a key

// hostFile is what a file says of one host.
type hostFile struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   bool           `toml:"skip_verify"`
	OverridePath bool           `toml:"override_path"`
	Header       map[string]any `toml:"header"`
	Realms       []string       `toml:"realms"`
	ChunkSize    int64          `toml:"chunk_size"`
}

type hostsFile struct {
	hostFile
	Server string              `toml:"server"`
	Host   map[string]hostFile `toml:"host"`
}

// Hosts implements the interface [Hosts].
func (dir HostsDir) Hosts(domain string) ([]Host, error) {
	hosts, err := dir.find(domain)
	if err == nil && hosts == nil {
		hosts = []Host{Upstream(domain)}
	}
	return hosts, err
}

// find is Hosts, with nil when there is no file for the registry.
func (dir HostsDir) find(domain string) ([]Host, error) {
	if err := reference.CheckDomain(domain); err != nil { // before it becomes part of a path
		return nil, err
	}
	for _, name := range []string{domain, "_default"} {
		path := filepath.Join(string(dir), name, "hosts.toml")
		raw, err := readConfig(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var hosts []Host
			if hosts, err = parseHosts(domain, filepath.Dir(path), raw); err == nil {
				return hosts, nil
			}
		}
		return nil, fmt.Errorf("reading the configuration of registry %s: %s: %w", domain, path, err)
	}
	return nil, nil
}

// readConfig reads a regular file of at most maxConfig bytes.
func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(raw) > maxConfig {
		err = fmt.Errorf("%s has more than %d bytes: %w", path, maxConfig, errdefs.ErrInvalidArgument)
	}
	return raw, err
}

// parseHosts reads a hosts.toml; dir is what the paths in it are relative to.
func parseHosts(domain, dir string, raw []byte) ([]Host, error) {
	var file hostsFile
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(&file); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) && len(strict.Errors) > 0 {
			return nil, fmt.Errorf("field %q is not known: %w", strings.Join(strict.Errors[0].Key(), "."), errdefs.ErrInvalidArgument)
		}
		return nil, fmt.Errorf("%s: %w", oneLine(err.Error(), 200), errdefs.ErrInvalidArgument)
	}
	var hosts []Host
	for _, at := range hostOrder(raw) {
		f := file.Host[at]
		h, err := f.host(at, dir)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", shown(at), err)
		}
		h.Mirror = h.Addr != Upstream(domain).Addr
		h.Push = h.Push && (!h.Mirror || slices.Contains(f.Capabilities, "push"))
		hosts = append(hosts, h)
	}
	if len(hosts) != len(file.Host) {
		return nil, fmt.Errorf("hosts are written as [host.\"https://…\"] tables: %w", errdefs.ErrInvalidArgument)
	}
	up := Upstream(domain)
	at := file.Server
	if at == "" {
		at = "https://" + up.Addr
	}
	h, err := file.host(at, dir)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", shown(at), err)
	}
	if file.Server == "" {
		h.Scheme = up.Scheme
	}
	return append(hosts, h), nil
}

// shown is a URL for an error, without what may be a password in it.
func shown(at string) string {
	if strings.Contains(at, "@") {
		return "with a user in its URL"
	}
	return fmt.Sprintf("%.200q", at)
}

// hostOrder lists the names of the [host."…"] tables as they stand in the file: decoding into a map forgets that.
func hostOrder(raw []byte) []string {
	var names []string
	var p unstable.Parser
	p.Reset(raw)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table {
			continue
		}
		var key []string
		for it := e.Key(); it.Next(); {
			key = append(key, string(it.Node().Data))
		}
		if len(key) >= 2 && key[0] == "host" && !slices.Contains(names, key[1]) {
			names = append(names, key[1])
		}
	}
	return names
}

// host turns what a file says into a Host. Nothing about capabilities means all; the caller takes pushing from mirrors then.
func (f *hostFile) host(at, dir string) (Host, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Host{}, fmt.Errorf("want https://host[:port][/path] or http://…: %w", errdefs.ErrInvalidArgument)
	}
	h := Host{Scheme: u.Scheme, Addr: u.Host, Path: strings.TrimSuffix(u.Path, "/"), SkipVerify: f.SkipVerify, Realms: f.Realms, ChunkSize: f.ChunkSize, Header: make(http.Header)}
	if !f.OverridePath && !strings.HasSuffix(h.Path, "/v2") {
		h.Path += "/v2"
	}
	if f.ChunkSize < 0 {
		return Host{}, fmt.Errorf("chunk_size is %d: %w", f.ChunkSize, errdefs.ErrInvalidArgument)
	}
	for _, c := range f.Capabilities {
		switch c {
		case "pull":
			h.Pull = true
		case "resolve":
			h.Resolve = true
		case "push":
			h.Push = true
		default:
			return Host{}, fmt.Errorf("capability %q is not known (pull, resolve, push): %w", c, errdefs.ErrInvalidArgument)
		}
	}
	if len(f.Capabilities) == 0 {
		h.Pull, h.Resolve, h.Push = true, true, true
	}
	for k, v := range f.Header {
		values, err := texts(v)
		if err != nil {
			return Host{}, fmt.Errorf("header %s: %w", k, err)
		}
		h.Header[http.CanonicalHeaderKey(k)] = values
	}
	return h, f.files(&h, dir)
}

// files reads the certificates and keys that a host names.
func (f *hostFile) files(h *Host, dir string) error {
	read := func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return readConfig(path)
	}
	if f.CA != nil {
		names, err := texts(f.CA)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		for _, name := range names {
			pem, err := read(name)
			if err != nil {
				return fmt.Errorf("ca: %w", err)
			}
			h.CA = append(append(h.CA, pem...), '\n')
		}
	}
	// client is "both.pem", ["a.pem", "b.pem"] of both, or [["cert", "key"], …].
	list, ok := f.Client.([]any)
	if f.Client != nil && !ok {
		list = []any{f.Client}
	}
	for _, item := range list {
		names, err := texts(item)
		if err != nil || len(names) < 1 || len(names) > 2 {
			return fmt.Errorf("client: want files that hold certificate and key, or pairs of files: %w", errdefs.ErrInvalidArgument)
		}
		cert, err := read(names[0])
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		key := cert
		if len(names) == 2 && names[1] != "" {
			if key, err = read(names[1]); err != nil {
				return fmt.Errorf("client: %w", err)
			}
		}
		h.Client = append(h.Client, Certificate{cert, key})
	}
	return nil
}

// texts reads a string or a list of strings.
func texts(v any) ([]string, error) {
	if s, ok := v.(string); ok {
		return []string{s}, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("want a string or a list of strings: %w", errdefs.ErrInvalidArgument)
	}
	var out []string
	for _, x := range list {
		s, ok := x.(string)
		if !ok {
			return nil, fmt.Errorf("want a string or a list of strings: %w", errdefs.ErrInvalidArgument)
		}
		out = append(out, s)
	}
	return out, nil
}
