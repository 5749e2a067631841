package volume

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// meta is what meta.json holds: one line of JSON, and its CRC-32C in hexadecimal on a line of its own. A file that
// a power failure cut off does not have the second, or not this one.
type meta struct {
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"`
	Created time.Time         `json:"created"`
}

// maxMeta bounds the file in bytes.
const maxMeta = 1 << 20

func (m meta) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(b, "\n%08x\n", checksum(b)), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func decodeMeta(b []byte) (m meta, err error) {
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(rest) != fmt.Sprintf("%08x\n", checksum(line)) {
		return m, errors.New("the checksum does not fit")
	}
	return m, json.Unmarshal(line, &m)
}

func readMeta(dir int) (meta, error) {
	fd, err := linux.OpenBeneath(dir, metaName, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return meta{}, err
	}
	f := os.NewFile(uintptr(fd), metaName)
	defer f.Close()
	b := make([]byte, maxMeta)
	n, err := f.ReadAt(b, 0)
	if n == maxMeta || n == 0 && err != nil {
		return meta{}, fmt.Errorf("%s is empty or too large: %w", metaName, err)
	}
	return decodeMeta(b[:n])
}

// writeMeta makes meta.json in a new volume's directory.
func writeMeta(dir int, m meta, durable bool) error {
	b, err := m.encode()
	if err == nil && len(b) >= maxMeta {
		err = fmt.Errorf("labels and options take %d bytes, at most %d are allowed", len(b), maxMeta)
	}
	if err != nil {
		return err
	}
	fd, err := linux.CreateBeneath(dir, metaName, unix.O_WRONLY|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), metaName)
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
