package ocispec

import (
	"time"

	"github.com/hull-dev/hull/internal/ocispec/record"
)

// Record is what the runtime keeps of a container.
type Record = record.Record

// AppendRecord appends a record as JSON in one line.
func AppendRecord(b []byte, s *Record) []byte {
	w := Writer{B: b}
	w.Open('{')
	w.Name("ociVersion")
	w.String(s.OCIVersion)
	w.Name("id")
	w.String(s.ID)
	w.Name("bundle")
	w.String(s.Bundle)
	w.Name("rootfs")
	w.String(s.Rootfs)
	if len(s.Annotations) > 0 {
		w.Name("annotations")
		w.StringMap(s.Annotations)
	}
	w.Name("created")
	w.String(s.Created.Format(time.RFC3339Nano))
	w.Name("owner")
	w.String(s.Owner)
	w.Name("init_process_pid")
	w.Int(int64(s.InitPid))
	w.Name("init_process_start")
	w.Int(int64(s.InitStart)) // ticks since boot: never near 2^63
	w.Name("cgroup_paths")
	w.StringMap(s.Cgroups)
	if s.SystemdUnit != "" {
		w.Name("systemd_unit")
		w.String(s.SystemdUnit)
	}
	w.Name("namespaces")
	w.Int(int64(s.Namespaces))
	if s.Rootless {
		w.Name("rootless")
		w.Bool(true)
	}
	if s.NoNewKeyring {
		w.Name("no_new_keyring")
		w.Bool(true)
	}
	if len(s.Descriptors) > 0 {
		w.Name("external_descriptors")
		w.Strings(s.Descriptors)
	}
	w.Close('}')
	return w.B
}

// DecodeRecord reads a record. An error is an *[Error].
func DecodeRecord(b []byte) (*Record, error) {
	r := &reader{src: string(b)}
	s := &Record{}
	r.document(func() { r.record(s) })
	return result(r, s)
}

// time reads a point in time.
func (r *reader) time(v *time.Time) {
	var text string
	r.string(&text)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		r.refuse("want a time as in RFC 3339")
	}
	*v = t
}
