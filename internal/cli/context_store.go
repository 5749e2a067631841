package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A context is a named daemon. Docker keeps them, by the SHA-256 of their name, as
//
//	contexts/meta/HASH/meta.json            name, description, endpoints
//	contexts/tls/HASH/docker/ca.pem …       authority, certificate and key
//
// below the directory of the client's configuration.

// defaultContext is the daemon that options and environment say; it is not stored.
const defaultContext = "default"

// maxContext bounds a file of a context, in bytes.
const maxContext = 10 << 20

// contextMeta is a context as it is stored.
type contextMeta struct {
	Name      string `json:",omitempty"`
	Metadata  map[string]any
	Endpoints map[string]contextEndpointMeta `json:",omitempty"`
}

type contextEndpointMeta struct {
	Host          string `json:",omitempty"`
	SkipTLSVerify bool
}

// description is what the user said of a context.
func (m *contextMeta) description() string {
	s, _ := m.Metadata["Description"].(string)
	return s
}

// contextDirs are where a context's description and its certificates are.
func contextDirs(name string) (meta, certs string, err error) {
	dir, err := configDir()
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	return filepath.Join(dir, "contexts", "meta", id), filepath.Join(dir, "contexts", "tls", id), nil
}

// loadContext reads a stored context.
func loadContext(name string) (*contextMeta, error) {
	dir, _, err := contextDirs(name)
	if err != nil {
		return nil, err
	}
	m, err := readContext(filepath.Join(dir, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("context %q: context not found: %w", name, err)
	}
	return m, err
}

func readContext(file string) (*contextMeta, error) {
	raw, err := readBounded(file, maxContext)
	if err != nil {
		return nil, err
	}
	var m contextMeta
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	return &m, nil
}

// contextEndpoint is the daemon of a stored context.
func contextEndpoint(name string) (endpoint, error) {
	m, err := loadContext(name)
	if err != nil {
		return endpoint{}, err
	}
	_, certs, err := contextDirs(name)
	if err != nil {
		return endpoint{}, err
	}
	d, ok := m.Endpoints["docker"]
	if !ok {
		return endpoint{}, fmt.Errorf("cannot find docker endpoint in context %q", name)
	}
	if d.SkipTLSVerify {
		return endpoint{}, fmt.Errorf("context %q says not to verify the daemon's certificate, which hull always does", name)
	}
	dir := filepath.Join(certs, "docker")
	_, err = os.Stat(filepath.Join(dir, "ca.pem"))
	secure := err == nil
	e, err := parseHost(d.Host, secure)
	if err != nil || !secure {
		return e, err
	}
	if e.network != "tcp" {
		return e, nil
	}
	e.tls, err = clientTLS(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	return e, err
}
