package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// loginDir is where a container with --use-api-socket finds the user's credentials.
const loginDir = "/run/secrets/docker"

// loginFile is a config.json for a container.
type loginFile struct{ data []byte }

// shareSocket adds the daemon's socket to a container, and what its clients need to log in to
// registries: the credentials themselves, as the user's helpers are not there.
func (a *App) shareSocket(ctx context.Context, b *createBody) (*loginFile, error) {
	if a.client.network != "unix" {
		return nil, fmt.Errorf("flag --use-api-socket can only be used with unix sockets: docker endpoint %s incompatible", a.client.url())
	}
	b.HostConfig.Mounts = append(b.HostConfig.Mounts, mount{Type: "bind", Source: a.client.address, Target: "/var/run/docker.sock", BindOptions: &bindOptions{}})
	for _, e := range b.Env {
		if strings.HasPrefix(e, "DOCKER_CONFIG=") {
			return nil, nil // the user has a place for them
		}
	}
	auths, err := a.credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("resolving credentials failed: %w", err)
	}
	if len(auths) == 0 {
		return nil, nil
	}
	data, err := json.MarshalIndent(map[string]any{"auths": auths}, "", "\t")
	if err != nil {
		return nil, err
	}
	b.Env = append(b.Env, "DOCKER_CONFIG="+loginDir)
	return &loginFile{data}, nil
}

// credentials are those of all registries that the user is logged in to.
func (a *App) credentials(ctx context.Context) (map[string]map[string]string, error) {
	dir, err := configDir()
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(filepath.Join(dir, "config.json"), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var doc struct {
		Auths       map[string]json.RawMessage
		CredHelpers map[string]string
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	for host := range doc.CredHelpers {
		if doc.Auths == nil {
			doc.Auths = make(map[string]json.RawMessage)
		}
		doc.Auths[host] = nil
	}
	all := make(map[string]map[string]string)
	for host := range doc.Auths {
		c, err := a.credential(ctx, serverDomain([]string{host}))
		if err != nil {
			return nil, err
		}
		entry := make(map[string]string)
		if c.Username != "" {
			entry["auth"] = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
		}
		if c.IdentityToken != "" {
			entry["identitytoken"] = c.IdentityToken
		}
		if c.RegistryToken != "" {
			entry["registrytoken"] = c.RegistryToken
		}
		if len(entry) > 0 {
			all[host] = entry
		}
	}
	return all, nil
}

// putLogin writes the file into a container that was created.
func (a *App) putLogin(ctx context.Context, id string, f *loginFile) error {
	if f == nil {
		return nil
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: loginDir + "/config.json", Size: int64(len(f.data)), Mode: 0o600, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(f.data)
	}
	if err = errors.Join(err, w.Close()); err == nil {
		err = a.client.get(ctx, call{method: "PUT", path: "/containers/" + id + "/archive", query: url.Values{"path": {"/"}, "noOverwriteDirNonDir": {"true"}}, body: &b, header: http.Header{"Content-Type": {"application/x-tar"}}}, nil)
	}
	if err != nil {
		return fmt.Errorf("injecting docker config.json into container failed: %w", err)
	}
	return nil
}
