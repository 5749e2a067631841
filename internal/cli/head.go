package cli

import (
	"io"
	"strings"
	"sync"
)

// head keeps the first bytes of what a program says.
type head struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (h *head) copy(r io.ReadCloser) {
	defer r.Close()
	_, _ = io.Copy(h, r)
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf = append(h.buf, p[:min(len(p), h.max-len(h.buf))]...)
	return len(p), nil
}

func (h *head) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(string(h.buf))
}
