package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxConfig bounds the client's configuration file, in bytes.
const maxConfig = 8 << 20

// clientConfig is what hull takes from Docker's config.json besides credentials, which package
// dockerconfig reads.
type clientConfig struct {
	CurrentContext string                   `json:"currentContext"`
	DetachKeys     string                   `json:"detachKeys"`
	Headers        map[string]string        `json:"HttpHeaders"`
	Proxies        map[string]proxySettings `json:"proxies"`
	PsFormat       string                   `json:"psFormat"`
	StatsFormat    string                   `json:"statsFormat"`
	NetworksFormat string                   `json:"networksFormat"`
	VolumesFormat  string                   `json:"volumesFormat"`
	PruneFilters   []string                 `json:"pruneFilters"`
}

// proxySettings become variables of containers.
type proxySettings struct {
	HTTP  string `json:"httpProxy"`
	HTTPS string `json:"httpsProxy"`
	No    string `json:"noProxy"`
	FTP   string `json:"ftpProxy"`
	All   string `json:"allProxy"`
}

// configDir is where the client's configuration is: $DOCKER_CONFIG, else ~/.docker.
func configDir() (string, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("looking for the client's configuration: %w", err)
	}
	return filepath.Join(home, ".docker"), nil
}

// settings reads config.json, once. A file that cannot be read counts as empty and is warned
// about, as Docker does.
func (a *App) settings() *clientConfig {
	if a.config != nil {
		return a.config
	}
	a.config = &clientConfig{}
	dir, err := configDir()
	if err != nil {
		return a.config
	}
	raw, err := readBounded(filepath.Join(dir, "config.json"), maxConfig)
	if err == nil {
		err = json.Unmarshal(raw, a.config)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(a.Err, "WARNING: Error loading config file: %s: %v\n", filepath.Join(dir, "config.json"), err)
	}
	return a.config
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is over %d bytes", name, limit)
	}
	return raw, err
}

// setting changes one key of config.json and keeps the others as they are; an empty value takes
// the key out.
func setting(key, value string) error {
	dir, err := configDir()
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "config.json")
	doc := make(map[string]json.RawMessage)
	raw, err := readBounded(name, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, &doc); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
	}
	delete(doc, key)
	if value != "" {
		if doc[key], err = json.Marshal(value); err != nil {
			return err
		}
	}
	raw, err = json.MarshalIndent(doc, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return replaceFile(name, raw)
}

// replaceFile writes a file of mode 0600 beside its name and renames it.
func replaceFile(name string, data []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // the user's link stays one
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".hull-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
