package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/jsonstream"

	"github.com/hull-dev/hull/internal/image"
)

// stream writes progress as Docker does. Its methods may be called at the same time.
type stream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	flush   http.Flusher
	quiet   bool // drops everything but streams and aux
	started bool
}

// progressLine is jsonstream.Message with the two fields that older clients read.
type progressLine struct {
	jsonstream.Message
	ProgressText string `json:"progress,omitempty"`
	ErrorText    string `json:"error,omitempty"`
}

func newStream(w http.ResponseWriter) *stream {
	f, _ := w.(http.Flusher)
	return &stream{w: w, flush: f}
}

// report implements image.Report.
func (s *stream) report(p image.Progress) {
	line := progressLine{}
	switch {
	case p.Aux != nil:
		raw, err := json.Marshal(p.Aux)
		if err != nil {
			return
		}
		aux := json.RawMessage(raw)
		line.Aux = &aux
		line.Progress = &jsonstream.Progress{}
	case p.Stream:
		line.Stream = p.Status
	case s.quiet:
		return
	default:
		line.ID, line.Status = p.ID, p.Status
		if p.Total > 0 {
			line.Progress = &jsonstream.Progress{Current: p.Current, Total: p.Total}
			line.ProgressText = bar(p.Current, p.Total)
		} else if p.ID != "" {
			line.Progress = &jsonstream.Progress{}
		}
	}
	s.line(line)
}

// fail ends the stream with an error, or, when nothing was written yet, hands it back for a
// status.
func (s *stream) fail(err error) error {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	if err == nil || !started {
		return err
	}
	s.line(progressLine{Message: jsonstream.Message{Error: &jsonstream.Error{Message: err.Error()}}, ErrorText: err.Error()})
	return nil
}

func (s *stream) line(v any) {
	raw, err := encode(v)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		s.w.Header().Set("Content-Type", "application/json")
		s.w.WriteHeader(http.StatusOK)
	}
	// A client that is gone ends the request's context, which ends the work.
	_, _ = s.w.Write(append(raw, '\r', '\n'))
	if s.flush != nil {
		s.flush.Flush()
	}
}

// barWidth is what Docker's daemon draws for clients that show text.
const barWidth = 50

func bar(current, total int64) string {
	done := int(min(current, total) * barWidth / total)
	out := make([]byte, 0, barWidth+3)
	out = append(out, '[')
	for i := range barWidth {
		switch {
		case i < done:
			out = append(out, '=')
		case i == done:
			out = append(out, '>')
		default:
			out = append(out, ' ')
		}
	}
	if done == barWidth {
		out = append(out, '>')
	}
	return fmt.Sprintf("%s]  %s/%s", out, units.HumanSize(float64(current)), units.HumanSize(float64(total)))
}
