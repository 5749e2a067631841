package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// A record is what is on disk of one container, in its directory:
//
//	config.json   what it is: one frame, written to a new name and renamed
//	state         how it does: frames, appended; the last whole one counts
//
// A frame is a line "hull1 LENGTH CRC32C\n" (decimal, eight hexadecimal digits), LENGTH bytes of
// JSON, and a newline. What a power loss tore fails by length or checksum: of config.json, and the
// directory is swept; at the end of state, and the frame before it counts.
const (
	configFile   = "config.json"
	stateFile    = "state"
	frameMagic   = "hull1"
	maxRecord    = 16 << 20 // bytes of config.json
	maxStateFile = 32 << 10 // bytes after which state is written anew
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn is of a record that was not written to its end.
var errTorn = errors.New("the record is torn")

func frame(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("%s %d %08x\n", frameMagic, len(raw), crc32.Checksum(raw, castagnoli))
	return append(append([]byte(head), raw...), '\n'), nil
}

// unframe takes the first frame off data.
func unframe(data []byte) (body, rest []byte, err error) {
	i := strings.IndexByte(string(data[:min(len(data), 64)]), '\n')
	if i < 0 {
		return nil, nil, errTorn
	}
	words := strings.Split(string(data[:i]), " ")
	if len(words) != 3 || words[0] != frameMagic {
		return nil, nil, errTorn
	}
	n, err := strconv.ParseUint(words[1], 10, 31)
	if err != nil {
		return nil, nil, errTorn
	}
	sum, err := strconv.ParseUint(words[2], 16, 32)
	data = data[i+1:]
	if err != nil || uint64(len(data)) < n+1 || data[n] != '\n' || uint64(crc32.Checksum(data[:n], castagnoli)) != sum {
		return nil, nil, errTorn
	}
	return data[:n], data[n+1:], nil
}

// config is what config.json holds: the parts of a view that do not change while it runs.
type config struct {
	Version int
	View    *View
}

const recordVersion = 1

// writeConfig puts config.json in place.
func writeConfig(dir string, v *View) error {
	still := *v
	still.State, still.Execs, still.Warnings = State{}, nil, nil
	raw, err := frame(config{recordVersion, &still})
	if err != nil {
		return fmt.Errorf("encoding the record of container %s: %w", v.ID, err)
	}
	return replace(filepath.Join(dir, configFile), raw)
}

// replace writes a file to a new name and renames it into place.
func replace(path string, raw []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, raw, 0o600); err != nil {
		return fmt.Errorf("writing a record: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("putting a record in place: %w", err)
	}
	return nil
}

// stored is what state holds.
type stored struct {
	State      State
	RestartCnt int
	Endpoints  map[string]*network.EndpointSettings `json:",omitempty"`
	Ports      network.PortMap                      `json:",omitempty"`
	NetState   []byte                               `json:",omitempty"`
	Had        map[string]Had                       `json:",omitempty"`
}

// writeState appends to the state file. It does not wait for the disk.
func writeState(dir string, v *View) error {
	raw, err := frame(stored{v.State, v.RestartCnt, v.Endpoints, v.Ports, v.NetState, v.Had})
	if err != nil {
		return fmt.Errorf("encoding the state of container %s: %w", v.ID, err)
	}
	path := filepath.Join(dir, stateFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("opening the state of container %s: %w", v.ID, err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > maxStateFile {
		f.Close()
		return replace(path, raw)
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the state of container %s: %w", v.ID, err)
	}
	return nil
}

// readRecord is the opposite of writeConfig and writeState. errTorn: there is no valid config.
func readRecord(dir string) (*View, error) {
	raw, err := readBounded(filepath.Join(dir, configFile), maxRecord)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errTorn
	}
	if err != nil {
		return nil, err
	}
	body, _, err := unframe(raw)
	if err != nil {
		return nil, err
	}
	var c config
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("reading the record in %s: %w", dir, err)
	}
	if c.Version != recordVersion || c.View == nil || c.View.Config == nil || c.View.Host == nil {
		return nil, fmt.Errorf("the record in %s has version %d, this hulld knows %d", dir, c.Version, recordVersion)
	}
	v := c.View
	v.State = State{Phase: Created}
	raw, err = readBounded(filepath.Join(dir, stateFile), 2*maxStateFile)
	if errors.Is(err, os.ErrNotExist) {
		return v, nil
	}
	for err == nil {
		if body, raw, err = unframe(raw); err == nil {
			var s stored
			if err = json.Unmarshal(body, &s); err == nil {
				v.State, v.RestartCnt, v.NetState, v.Ports, v.Had = s.State, s.RestartCnt, s.NetState, s.Ports, s.Had
				if s.Endpoints != nil {
					v.Endpoints = s.Endpoints
				}
			}
		}
	}
	return v, nil
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return raw, err
}

// syncRecord makes a record durable, in the background of everything else.
func syncRecord(dir string) error {
	for _, name := range []string{configFile, stateFile, "."} {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "open", Path: filepath.Join(dir, name), Err: err}
		}
		err = unix.Fsync(fd)
		unix.Close(fd)
		if err != nil {
			return &os.PathError{Op: "fsync", Path: filepath.Join(dir, name), Err: err}
		}
	}
	return nil
}
