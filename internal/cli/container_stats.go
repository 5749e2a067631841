package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
)

// staleTime is how old figures may be before they are shown as "--".
const staleTime = 2 * time.Second

// onceTime is how long figures may take that are asked for once: a daemon takes two looks for a
// share of CPU time.
const onceTime = 15 * time.Second

// refreshTime is between two looks of the live table.
const refreshTime = 500 * time.Millisecond

// sample is what stats takes of the daemon's figures.
type sample struct {
	Name, ID string
	CPU      cpuFigures `json:"cpu_stats"`
	Before   cpuFigures `json:"precpu_stats"`
	Memory   struct {
		Usage, Limit uint64
		Stats        map[string]uint64
	} `json:"memory_stats"`
	PIDs     struct{ Current uint64 } `json:"pids_stats"`
	Networks map[string]struct {
		Received uint64 `json:"rx_bytes"`
		Sent     uint64 `json:"tx_bytes"`
	}
	Blocks struct {
		Bytes []struct {
			Op    string
			Value uint64
		} `json:"io_service_bytes_recursive"`
	} `json:"blkio_stats"`
}

type cpuFigures struct {
	Usage struct {
		Total uint64   `json:"total_usage"`
		Each  []uint64 `json:"percpu_usage"`
	} `json:"cpu_usage"`
	System uint64 `json:"system_cpu_usage"`
	Online uint32 `json:"online_cpus"`
}

// cpuPercent is the share of one CPU, in percent, since the figures before.
func (s *sample) cpuPercent() float64 {
	used := float64(s.CPU.Usage.Total) - float64(s.Before.Usage.Total)
	system := float64(s.CPU.System) - float64(s.Before.System)
	online := float64(s.CPU.Online)
	if online == 0 {
		online = float64(len(s.CPU.Usage.Each))
	}
	if used <= 0 || system <= 0 {
		return 0
	}
	return used / system * online * 100
}

// memory is what is in use without the cache that the kernel can drop at once.
func (s *sample) memory() float64 {
	for _, key := range []string{"total_inactive_file", "inactive_file"} { // v1, v2
		if v, ok := s.Memory.Stats[key]; ok && v < s.Memory.Usage {
			return float64(s.Memory.Usage - v)
		}
	}
	return float64(s.Memory.Usage)
}

// statsRow has the fields of stats --format.
type statsRow struct{ BlockIO, CPUPerc, Container, ID, MemPerc, MemUsage, Name, NetIO, PIDs string }

func (s *sample) row(container string, whole, valid bool) statsRow {
	r := statsRow{Container: container, ID: s.ID, Name: "--", BlockIO: "--", CPUPerc: "--", MemPerc: "--", MemUsage: "-- / --", NetIO: "--", PIDs: "--"}
	if !whole {
		r.ID = shortID(s.ID)
	}
	if len(s.Name) > 1 {
		r.Name = strings.TrimPrefix(s.Name, "/")
	}
	if !valid {
		return r
	}
	var received, sent, read, written uint64
	for _, n := range s.Networks {
		received, sent = received+n.Received, sent+n.Sent
	}
	for _, b := range s.Blocks.Bytes {
		switch {
		case b.Op == "":
		case b.Op[0] == 'r' || b.Op[0] == 'R':
			read += b.Value
		case b.Op[0] == 'w' || b.Op[0] == 'W':
			written += b.Value
		}
	}
	percent := func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }
	pair := func(a, b uint64) string { return size(int64(a)) + " / " + size(int64(b)) }
	memory, share := s.memory(), 0.0
	if s.Memory.Limit > 0 {
		share = memory / float64(s.Memory.Limit) * 100
	}
	r.CPUPerc, r.MemPerc, r.PIDs = percent(s.cpuPercent()), percent(share), strconv.FormatUint(s.PIDs.Current, 10)
	r.MemUsage = units.BytesSize(memory) + " / " + units.BytesSize(float64(s.Memory.Limit))
	r.NetIO, r.BlockIO = pair(received, sent), pair(read, written)
	return r
}

// watched is a container whose figures come in.
type watched struct {
	name   string // as asked for
	cancel context.CancelFunc
	first  chan struct{} // closed when there are figures, or never will be

	mu    sync.Mutex
	last  sample
	at    time.Time
	err   error
	valid bool
}

// board is all containers that are watched.
type board struct {
	a      *App
	stream bool

	mu  sync.Mutex
	all []*watched
}

func (b *board) add(ctx context.Context, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.all, func(w *watched) bool { return w.name == name }) {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watched{name: name, cancel: cancel, first: make(chan struct{})}
	b.all = append(b.all, w)
	go b.collect(ctx, w)
}

func (b *board) remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = slices.DeleteFunc(b.all, func(w *watched) bool {
		if w.name == name {
			w.cancel()
		}
		return w.name == name
	})
}

func (b *board) list() []*watched {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// collect takes in a container's figures until they end.
func (b *board) collect(ctx context.Context, w *watched) {
	first := sync.OnceFunc(func() { close(w.first) })
	defer first()
	fail := func(err error) {
		w.mu.Lock()
		w.err, w.valid = err, false
		w.mu.Unlock()
	}
	q := url.Values{"stream": {"0"}}
	if b.stream {
		q.Set("stream", "1")
	}
	path, err := containerPath(w.name)
	if err != nil {
		fail(err)
		return
	}
	body, err := b.a.client.do(ctx, call{method: "GET", path: path + "/stats", query: q})
	if err != nil {
		fail(err)
		return
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var s sample
		if err := dec.Decode(&s); err != nil {
			if !errors.Is(err, io.EOF) {
				fail(err)
			}
			return
		}
		w.mu.Lock()
		w.last, w.at, w.err, w.valid = s, time.Now(), nil, true
		w.mu.Unlock()
		first()
		if !b.stream {
			return
		}
	}
}

func (a *App) containerStats(ctx context.Context, args []string) error {
	o := newOptions()
	all := o.flag("all", 'a', "Show all containers (default shows just running)")
	once := o.flag("no-stream", 0, "Disable streaming stats and only pull the first result")
	whole := o.flag("no-trunc", 0, "Do not truncate output")
	format := o.text("format", 0, "", formatHelp)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if *format == "" {
		*format = a.settings().StatsFormat
	}
	if err := a.client.agree(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &board{a: a, stream: !*once}
	ended := make(chan error, 1)
	if len(args) == 0 {
		if err := b.watchAll(ctx, *all, ended); err != nil {
			return err
		}
	}
	for _, name := range args {
		b.add(ctx, name)
	}
	if err := b.ready(ctx, len(args) > 0); err != nil {
		return err
	}
	f := listFormat{
		text: *format, table: "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
		header: map[string]string{
			"Container": "CONTAINER", "Name": "NAME", "ID": "CONTAINER ID", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
			"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
		},
	}
	tick := time.NewTicker(refreshTime)
	defer tick.Stop()
	for {
		if err := b.draw(a.Out, &f, *whole); err != nil {
			return err
		}
		if *once || len(args) > 0 && len(b.list()) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				return nil // hulld restarts
			}
			return err
		case <-tick.C:
		}
	}
}

// ready waits until each container has figures; with strict, what has none is an error.
func (b *board) ready(ctx context.Context, strict bool) error {
	patience := staleTime
	if !b.stream {
		patience = onceTime // nothing better comes later
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	var errs []error
	late := false
	for _, w := range b.list() {
		select {
		case <-w.first:
		case <-deadline.C:
			late = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if late {
			break // the table shows "--"
		}
		w.mu.Lock()
		errs = append(errs, w.err)
		w.mu.Unlock()
	}
	if strict {
		return errors.Join(errs...)
	}
	return nil
}

// watchAll begins with the containers that are there and follows those that come and go.
func (b *board) watchAll(ctx context.Context, all bool, ended chan<- error) error {
	filters, err := filterQuery([]string{"type=container"})
	if err != nil {
		return err
	}
	// Events first: none is missed between the list and them.
	events, err := b.a.client.do(ctx, call{method: "GET", path: "/events", query: url.Values{"filters": {filters}}})
	if err != nil {
		return err
	}
	go func() {
		defer events.Close()
		for dec := json.NewDecoder(events); ; {
			var e struct {
				Action string
				Actor  struct{ ID string }
			}
			if err := dec.Decode(&e); err != nil {
				ended <- err
				return
			}
			switch {
			case e.Action == "start" || e.Action == "create" && all:
				b.add(ctx, shortID(e.Actor.ID))
			case e.Action == "die" && !all || e.Action == "destroy":
				b.remove(shortID(e.Actor.ID))
			}
		}
	}()
	q := url.Values{}
	if all {
		q.Set("all", "1")
	}
	var list []listedContainer
	if err := b.a.client.get(ctx, call{method: "GET", path: "/containers/json", query: q}, &list); err != nil {
		return err
	}
	for _, c := range list {
		b.add(ctx, shortID(c.ID))
	}
	return nil
}

// draw prints the table; a live one over the one before.
func (b *board) draw(out io.Writer, f *listFormat, whole bool) error {
	var rows []any
	for _, w := range b.list() {
		w.mu.Lock()
		valid := w.valid && (!b.stream || time.Since(w.at) < staleTime)
		s := w.last
		w.mu.Unlock()
		rows = append(rows, s.row(w.name, whole, valid))
	}
	var text, frame bytes.Buffer
	if err := f.print(&text, rows); err != nil {
		return err
	}
	if b.stream {
		frame.WriteString("\033[H")
		for line := range strings.SplitSeq(strings.TrimSuffix(text.String(), "\n"), "\n") {
			frame.WriteString(line + "\033[K\n")
		}
		frame.WriteString("\033[J")
	} else {
		frame = text
	}
	_, err := frame.WriteTo(out)
	if err != nil {
		return fmt.Errorf("writing figures: %w", err)
	}
	return nil
}
