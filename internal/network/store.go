package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds a network's file, in bytes.
const maxFile = 1 << 20

// load reads the networks from DataDir/networks/ID.json. A file that cannot be read is named and
// left; the others are used.
func (h *Host) load() error {
	dir := filepath.Join(h.cfg.DataDir, "networks")
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the networks: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok { // half-written by a hulld that was killed
			_ = os.Remove(path)
			continue
		}
		n, err := readNetwork(path)
		if err == nil && n.ID != id {
			err = fmt.Errorf("it says that it is of network %.64q", n.ID)
		}
		var s *state
		if err == nil {
			s, err = newState(n)
		}
		if err != nil {
			h.log.Error("leaving a network out", "file", path, "error", err)
			continue
		}
		h.networks[id] = s
	}
	return nil
}

func readNetwork(path string) (*Network, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var n Network
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return &n, nil
}

func newState(n *Network) (*state, error) {
	set, err := understand(n.Driver, n.Internal, n.DriverOpts)
	if err != nil {
		return nil, err
	}
	s := &state{Network: n, set: set, endpoints: make(map[string]*Endpoint)}
	for _, sub := range n.Subnets {
		switch {
		case !sub.Prefix.IsValid():
			return nil, fmt.Errorf("network %s has a subnet without a prefix", n.Name)
		case sub.Prefix.Addr().Is4() && s.v4 == nil:
			s.v4 = newLeases(sub)
		case sub.Prefix.Addr().Is6() && s.v6 == nil:
			s.v6 = newLeases(sub)
		}
	}
	return s, nil
}

// write puts a network's file in place. A network is made rarely and asked for by name after a
// power cut, so it is synced.
func (h *Host) write(n *Network) error {
	data, err := json.MarshalIndent(n, "", "\t")
	if err != nil {
		return err
	}
	dir := filepath.Join(h.cfg.DataDir, "networks")
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("writing network %s: %w", n.Name, err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), h.file(n.ID))
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing network %s: %w", n.Name, err), ignoreMissing(os.Remove(f.Name())))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (h *Host) file(id string) string {
	return filepath.Join(h.cfg.DataDir, "networks", id+".json")
}
