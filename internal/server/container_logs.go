package server

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/logfile"
)

// logOptions say how a log is shown.
type logOptions struct {
	stdout, stderr, timestamps, details bool
	q                                   engine.LogQuery
}

// stamp is RFC 3339 with nine digits, so that lines stand in columns.
const stamp = "2006-01-02T15:04:05.000000000Z07:00"

func (r *request) logOptions() (o logOptions, err error) {
	o = logOptions{stdout: r.flag("stdout"), stderr: r.flag("stderr"), timestamps: r.flag("timestamps"), details: r.flag("details")}
	if !o.stdout && !o.stderr {
		return o, errdefs.ErrInvalidArgument.WithMessage("Bad parameters: you must choose at least one stream")
	}
	o.q.Follow = r.flag("follow")
	o.q.Tail = -1
	// Docker takes anything that is no number for "all".
	if n, err := strconv.Atoi(r.FormValue("tail")); err == nil {
		o.q.Tail = n
	}
	now := time.Now()
	for key, to := range map[string]*time.Time{"since": &o.q.Since, "until": &o.q.Until} {
		if v := r.FormValue(key); v != "" && v != "0" {
			if *to, err = image.ParseTime(v, now); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

func (s *Server) containerLogs(w http.ResponseWriter, r *request, name string) error {
	o, err := r.logOptions()
	if err != nil {
		return err
	}
	v, err := s.containers.Find(name)
	if err != nil {
		return err
	}
	if v.Log.Driver == logfile.DriverNone || v.Log.Driver == "" {
		return errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	w.Header().Set("Content-Type", r.streamType(v.Config.Tty))
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	if o.q.Tail == 0 && !o.q.Follow {
		return nil
	}
	err = s.containers.Logs(r.Context(), string(v.ID), o.q, func(e engine.LogEntry) error {
		if err := o.write(w, e, v.Config.Tty); err != nil {
			return err
		}
		if o.q.Follow {
			return flush.Flush()
		}
		return nil
	})
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("a log was not read to its end", "container", v.ID, "error", err)
		text := "Error grabbing logs: " + err.Error() + "\n"
		_ = o.write(w, engine.LogEntry{Entry: logfile.Entry{Stream: 2, Time: time.Now(), Line: []byte(text)}}, v.Config.Tty)
	}
	return nil
}

// write shows one entry as a frame, or as it is with a terminal.
func (o *logOptions) write(w io.Writer, e engine.LogEntry, tty bool) error {
	if e.Stream == 2 && !o.stderr || e.Stream != 2 && !o.stdout {
		return nil
	}
	line := make([]byte, 8, 8+len(stamp)+2+len(e.Line)+1)
	if o.timestamps {
		line = append(e.Time.UTC().AppendFormat(line, stamp), ' ')
	}
	if o.details {
		line = append(append(line, attributes(e.Attrs)...), ' ')
	}
	line = append(line, e.Line...)
	head := frameHead(max(e.Stream, 1), len(line)-8)
	copy(line, head[:])
	if tty {
		line = line[8:]
	}
	_, err := w.Write(line)
	return err
}

// attributes shows an entry's attributes as "key=value,key=value", in the order of the keys.
func attributes(raw []byte) string {
	var m map[string]string
	if len(raw) == 0 || json.Unmarshal(raw, &m) != nil {
		return ""
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, url.QueryEscape(k)+"="+url.QueryEscape(m[k]))
	}
	return strings.Join(out, ",")
}
