package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// message is one line of a progress stream.
type message struct {
	Stream   string
	Status   string
	ID       string
	Error    string
	Progress *struct{ Current, Total int64 } `json:"progressDetail"`
	Aux      json.RawMessage
}

// show prints a progress stream until it ends: in place on a terminal, else as lines. With
// quiet it prints nothing but errors. The last status line is returned.
func (a *App) show(r io.Reader, quiet bool) (last string, err error) {
	width := terminalWidth(a.Out)
	at := make(map[string]int) // line of each ID, from the top
	lines := 0
	for dec := json.NewDecoder(r); ; {
		var m message
		if err := dec.Decode(&m); err == io.EOF {
			return last, nil
		} else if err != nil {
			return last, fmt.Errorf("reading the progress: %w", err)
		}
		if m.Error != "" {
			return last, errors.New(m.Error)
		}
		if m.ID == "" && m.Status != "" {
			last = m.Status
		}
		if quiet || m.Stream == "" && m.Status == "" {
			continue
		}
		counted := m.Progress != nil && m.Progress.Total > 0
		switch {
		case m.Stream != "":
			fmt.Fprint(a.Out, m.Stream)
		case width == 0:
			if counted {
				continue // a line for each step, not for each byte
			}
			fmt.Fprintln(a.Out, m.line(0))
		case m.ID == "" && !counted || m.Progress == nil:
			at, lines = make(map[string]int), 0
			fmt.Fprintln(a.Out, m.line(width))
		default:
			line, ok := at[m.ID]
			if !ok {
				line = lines
				at[m.ID] = line
				lines++
				fmt.Fprintln(a.Out)
			}
			up := lines - line
			fmt.Fprintf(a.Out, "\x1b[%dA\x1b[2K\r%s\x1b[%dB\r", up, m.line(width), up)
		}
	}
}

// line is the text of a message, with a bar if width leaves room for one.
func (m *message) line(width int) string {
	text := clean(m.Status)
	if m.ID != "" {
		text = clean(m.ID) + ": " + text
	}
	if m.Progress == nil || m.Progress.Total <= 0 || width == 0 {
		return text
	}
	done := min(m.Progress.Current, m.Progress.Total)
	numbers := fmt.Sprintf("%8v/%v", units.HumanSize(float64(done)), units.HumanSize(float64(m.Progress.Total)))
	room := min(50, width-len(text)-len(numbers)-6)
	if room < 5 {
		return text + " " + numbers
	}
	full := int(done * int64(room) / m.Progress.Total)
	bar := strings.Repeat("=", full)
	if full < room {
		bar += ">" + strings.Repeat(" ", room-full-1)
	}
	return text + " [" + bar + "] " + numbers
}

// clean keeps control characters of a registry's or archive's making off the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// terminalWidth is 0 when w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return max(20, int(size.Col))
}
