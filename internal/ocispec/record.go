package ocispec

import (
	"time"
)

// Record is what the runtime keeps of a container, in ROOT/ID/state.json.
type Record struct {
	OCIVersion  string
	ID          string
	Bundle      string // absolute
	Rootfs      string // absolute, as seen by the host
	Annotations map[string]string
	Created     time.Time
	Owner       string
	InitPid     int
	InitStart   uint64            // field 22 of /proc/PID/stat, clock ticks: tells a reused pid
	Cgroups     map[string]string // as cgroup.Group.Paths
	SystemdUnit string            // unit that systemd made for the container; empty: none
	Namespaces  uint64            // CLONE_NEW* flags of what the container does not share with its creator
	Rootless    bool
	Descriptors []string // what init's standard descriptors were when it was made, "pipe:[7]": for a checkpoint
	// NoNewKeyring: the container has the session keyring of its creator, and so have exec processes.
	NoNewKeyring bool
}

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

var recordNames = [...]string{"ociVersion", "id", "bundle", "rootfs", "annotations", "created", "owner", "init_process_pid",
	"init_process_start", "cgroup_paths", "systemd_unit", "namespaces", "rootless", "external_descriptors", "no_new_keyring"}

// DecodeRecord reads a record. An error is an *[Error].
func DecodeRecord(b []byte) (*Record, error) {
	r := &reader{src: string(b)}
	s := &Record{}
	r.document(func() { r.record(s) })
	return result(r, s)
}

func (r *reader) record(s *Record) {
	if !r.object() {
		return
	}
	var seen uint32
	var others names
	for {
		k, ok := r.key()
		if !ok {
			return
		}
		switch k {
		case "ociVersion":
			r.once(&seen, 0)
			r.string(&s.OCIVersion)
		case "id":
			r.once(&seen, 1)
			r.string(&s.ID)
		case "bundle":
			r.once(&seen, 2)
			r.string(&s.Bundle)
		case "rootfs":
			r.once(&seen, 3)
			r.string(&s.Rootfs)
		case "annotations":
			r.once(&seen, 4)
			entries(r, &s.Annotations, (*reader).string)
		case "created":
			r.once(&seen, 5)
			var text string
			r.string(&text)
			t, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				r.refuse("want a time as in RFC 3339")
			}
			s.Created = t
		case "owner":
			r.once(&seen, 6)
			r.string(&s.Owner)
		case "init_process_pid":
			r.once(&seen, 7)
			r.int(&s.InitPid)
		case "init_process_start":
			r.once(&seen, 8)
			r.uint64(&s.InitStart)
		case "cgroup_paths":
			r.once(&seen, 9)
			entries(r, &s.Cgroups, (*reader).string)
		case "systemd_unit":
			r.once(&seen, 10)
			r.string(&s.SystemdUnit)
		case "namespaces":
			r.once(&seen, 11)
			r.uint64(&s.Namespaces)
		case "rootless":
			r.once(&seen, 12)
			r.bool(&s.Rootless)
		case "external_descriptors":
			r.once(&seen, 13)
			stringArray(r, &s.Descriptors)
		case "no_new_keyring":
			r.once(&seen, 14)
			r.bool(&s.NoNewKeyring)
		default:
			r.unknown(k, recordNames[:], &others)
		}
	}
}
