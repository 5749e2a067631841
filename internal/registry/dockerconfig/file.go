package dockerconfig

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/reference"
	"github.com/hull-dev/hull/internal/registry"
)

const maxFile = 4 << 20 // bytes

// File is a config.json. It is read for each question: logins happen meanwhile.
type File struct {
	Path string
}

// Default is the file that Docker's CLI uses: $DOCKER_CONFIG/config.json, or ~/.docker/config.json.
func Default() (File, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return File{filepath.Join(dir, "config.json")}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return File{}, fmt.Errorf("finding the home directory for .docker/config.json: %w", err)
	}
	return File{filepath.Join(home, ".docker", "config.json")}, nil
}

// entry is one of auths.
type entry struct {
	Auth          string `json:"auth,omitempty"` // base64 of user:password
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// document is what this package reads of the file; all is the file.
type document struct {
	auths   map[string]json.RawMessage
	store   string
	helpers map[string]string
	all     map[string]json.RawMessage
}

// key is what Docker files a host's credentials under.
func key(host string) string {
	if host == reference.DefaultDomain {
		return "https://index.docker.io/v1/"
	}
	return host
}

// hostOf is the host that a key means.
func hostOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ := strings.Cut(key, "/")
	if host == "index.docker.io" {
		return reference.DefaultDomain
	}
	return host
}

// Credential implements registry.Credentials.
func (f File) Credential(ctx context.Context, host string) (registry.Credential, error) {
	doc, err := f.read()
	if err != nil {
		return registry.Credential{}, err
	}
	if name := doc.helper(host); name != "" {
		return helper(name).get(ctx, key(host))
	}
	raw, ok := doc.auths[key(host)]
	if !ok {
		for k, v := range doc.auths {
			if hostOf(k) == host {
				raw, ok = v, true
				break
			}
		}
	}
	if !ok {
		return registry.Credential{}, nil
	}
	var e entry
	if json.Unmarshal(raw, &e) != nil {
		return registry.Credential{}, f.broken("the credentials of " + host)
	}
	return e.credential(f, host)
}

func (e entry) credential(f File, host string) (registry.Credential, error) {
	c := registry.Credential{Username: e.Username, Password: e.Password}
	if e.Auth != "" {
		text, err := base64.StdEncoding.DecodeString(e.Auth)
		user, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return registry.Credential{}, f.broken("the credentials of " + host)
		}
		c.Username, c.Password = user, strings.TrimRight(password, "\x00")
	}
	switch {
	case e.RegistryToken != "":
		c = registry.Credential{RegistryToken: e.RegistryToken}
	case e.IdentityToken != "":
		c = registry.Credential{Username: c.Username, IdentityToken: e.IdentityToken}
	}
	return c, nil
}

// Store keeps a host's credential, with the helper or the store that the file names, or in the file.
func (f File) Store(ctx context.Context, host string, c registry.Credential) error {
	doc, err := f.read()
	if err != nil {
		return err
	}
	if name := doc.helper(host); name != "" {
		if err := helper(name).store(ctx, key(host), c); err != nil {
			return err
		}
		return f.write(doc, host, []byte("{}")) // Docker lists the registries of helpers like this
	}
	e := entry{IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}
	if c.Username != "" {
		e.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return f.write(doc, host, raw)
}

// Erase forgets a host's credential.
func (f File) Erase(ctx context.Context, host string) error {
	doc, err := f.read()
	if err != nil {
		return err
	}
	if name := doc.helper(host); name != "" {
		if err := helper(name).erase(ctx, key(host)); err != nil {
			return err
		}
	}
	return f.write(doc, host, nil)
}

// helper is the program that keeps a host's credentials, "" for none.
func (d *document) helper(host string) string {
	for k, name := range d.helpers {
		if k == key(host) || hostOf(k) == host {
			return name
		}
	}
	return d.store
}

func (f File) broken(what string) error {
	return fmt.Errorf("%s: %s cannot be read: %w", f.Path, what, errdefs.ErrInvalidArgument)
}

// read reads the file; one that is not there is empty.
func (f File) read() (*document, error) {
	// O_NONBLOCK: a named pipe in its place must not hold a pull up.
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &document{all: map[string]json.RawMessage{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading credentials: %s is not a regular file: %w", f.Path, errdefs.ErrInvalidArgument)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("reading credentials: %s has more than %d bytes: %w", f.Path, maxFile, errdefs.ErrInvalidArgument)
	}
	doc := &document{}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("{}")
	}
	if json.Unmarshal(raw, &doc.all) != nil {
		return nil, f.broken("the file") // the error of encoding/json may quote it
	}
	for name, into := range map[string]any{"auths": &doc.auths, "credsStore": &doc.store, "credHelpers": &doc.helpers} {
		if part, ok := doc.all[name]; ok && json.Unmarshal(part, into) != nil {
			return nil, f.broken(name)
		}
	}
	if doc.all == nil {
		doc.all = make(map[string]json.RawMessage)
	}
	return doc, nil
}

// write writes the file with a host's entry replaced, or taken out if it is nil.
func (f File) write(doc *document, host string, raw json.RawMessage) error {
	auths := make(map[string]json.RawMessage, len(doc.auths)+1)
	for k, v := range doc.auths {
		if hostOf(k) != host {
			auths[k] = v
		}
	}
	if raw != nil {
		auths[key(host)] = raw
	} else if len(auths) == len(doc.auths) {
		return nil
	}
	part, err := json.Marshal(auths)
	if err != nil {
		return err
	}
	doc.all["auths"] = part
	all, err := json.MarshalIndent(doc.all, "", "\t")
	if err != nil {
		return err
	}
	path := f.Path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // people keep the file elsewhere and link to it
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing credentials: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".config.json.") // mode 0600
	if err != nil {
		return fmt.Errorf("writing credentials: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once it was renamed
	_, err = tmp.Write(append(all, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing credentials: %w", err)
	}
	return nil
}
