package criu

import "fmt"

// Reply is criu_resp.
type Reply struct {
	Kind    Kind
	Success bool
	Errno   int    // cr_errno, an errno or 0
	Message string // cr_errmsg, often empty
	Pid     int    // of the restored init, on the host
	Notice  *Notice
	Features
	Version Release
}

// Notice is a notification: criu waits until it is answered.
type Notice struct {
	Script string // "post-restore", "setup-namespaces", …
	Pid    int    // init on the host, where the script has one
	FD     int    // descriptor that came along ("orphan-pts-master"), or -1; the receiver's to close
}

// Release is a version of criu.
type Release struct{ Major, Minor, Sublevel int }

func (r Release) String() string { return fmt.Sprintf("%d.%d.%d", r.Major, r.Minor, r.Sublevel) }

// AtLeast tells whether r is MAJOR.MINOR or newer.
func (r Release) AtLeast(major, minor int) bool {
	return r.Major > major || r.Major == major && r.Minor >= minor
}

// parseReply decodes a criu_resp.
func parseReply(b []byte) (*Reply, error) {
	r := &Reply{}
	seen := 0
	err := fields(b, func(field int, v uint64, b []byte) error {
		switch field {
		case 1:
			seen |= 1
			r.Kind = Kind(v)
		case 2:
			seen |= 2
			r.Success = v != 0
		case 4:
			return fields(b, func(field int, v uint64, _ []byte) error {
				number(field == 1, v, &r.Pid)
				return nil
			})
		case 5:
			r.Notice = &Notice{FD: -1}
			return fields(b, func(field int, v uint64, b []byte) error {
				if field == 1 {
					r.Notice.Script = string(b)
				}
				number(field == 2, v, &r.Notice.Pid)
				return nil
			})
		case 7:
			r.Errno = int(int32(v))
		case 8:
			return fields(b, func(field int, v uint64, _ []byte) error {
				switch field {
				case 1:
					r.MemTrack = v != 0
				case 2:
					r.LazyPages = v != 0
				}
				return nil
			})
		case 9:
			r.Message = string(b)
		case 10:
			return fields(b, func(field int, v uint64, _ []byte) error {
				number(field == 1, v, &r.Version.Major)
				number(field == 2, v, &r.Version.Minor)
				number(field == 4, v, &r.Version.Sublevel)
				return nil
			})
		}
		return nil
	})
	if err == nil && seen != 3 { // required fields
		err = errTruncated
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// number stores an int32.
func number(mine bool, v uint64, to *int) {
	if mine {
		*to = int(int32(v)) // a negative one comes in 64 bits
	}
}
