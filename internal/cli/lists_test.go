package cli

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDisplayPorts(t *testing.T) {
	for _, c := range []struct {
		want  string
		ports []listedPort
	}{
		{"", nil},
		{"80/tcp", []listedPort{{PrivatePort: 80, Type: "tcp"}}},
		{"80-82/tcp, 90/tcp, 53/udp", []listedPort{{PrivatePort: 90, Type: "tcp"}, {PrivatePort: 81, Type: "tcp"}, {PrivatePort: 80, Type: "tcp"}, {PrivatePort: 82, Type: "tcp"}, {PrivatePort: 53, Type: "udp"}}},
		{"0.0.0.0:80-81->80-81/tcp, [::]:80->80/tcp, 1.2.3.4:8080->80/tcp", []listedPort{
			{"0.0.0.0", 80, 80, "tcp"}, {"::", 80, 80, "tcp"}, {"0.0.0.0", 81, 81, "tcp"}, {"1.2.3.4", 80, 8080, "tcp"},
		}},
	} {
		if got := displayPorts(c.ports); got != c.want {
			// Groups come in the order in which they end.
			a, b := strings.Split(got, ", "), strings.Split(c.want, ", ")
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) {
				t.Errorf("%v: %q, want %q", c.ports, got, c.want)
			}
		}
	}
}

func TestContainerRow(t *testing.T) {
	c := listedContainer{
		ID: strings.Repeat("ab", 32), Image: "reg:5000/x@sha256:" + strings.Repeat("1", 64), ImageID: "sha256:" + strings.Repeat("cd", 32),
		Names: []string{"/other/alias", "/own"}, Command: "a command that is long", Status: "Up 2 seconds (health: starting)", SizeRootFs: 2000, SizeRw: 5,
	}
	short, whole := c.row(false), c.row(true)
	got := strings.Join([]string{short.ID, short.Image, short.Names, short.Command, short.Size, short.HealthStatus()}, "|")
	if want := `abababababab|reg:5000/x|own|"a command that is l…"|5B (virtual 2kB)|starting`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if whole.ID != c.ID || whole.Image != c.Image || whole.Names != "other/alias,own" || whole.Command != `"a command that is long"` {
		t.Errorf("%+v", whole)
	}
	c.Image = "sha256:" + strings.Repeat("cd", 32)
	if got := c.row(false).Image; got != "cdcdcdcdcdcd" {
		t.Errorf("image by ID: %s", got)
	}
	for status, want := range map[string]string{"Up 1 second (healthy)": "healthy", "Up 1 second (Paused)": "", "Exited (0) 2 days ago": "", "Up": ""} {
		c.Status = status
		if got := c.row(false).HealthStatus(); got != want {
			t.Errorf("%s: %q", status, got)
		}
	}
}

func TestListFormat(t *testing.T) {
	rows := []any{containerRow{ID: "1", Names: "a", labels: map[string]string{"x.y-z": "v"}}, containerRow{ID: "2", Names: "bb"}}
	for _, c := range []struct {
		f    listFormat
		want string
	}{
		{listFormat{text: "", table: "table {{.ID}}\t{{.Names}}"}, "CONTAINER ID   NAMES\n1              a\n2              bb\n"},
		{listFormat{text: "table {{.Names}}\\t{{.Label \"x.y-z\"}}\\t{{upper .ID}}"}, "NAMES     y z       CONTAINER ID\na         v         1\nbb                  2\n"},
		{listFormat{text: "{{.Names}}\\n--"}, "a\n--\nbb\n--\n"},
		{listFormat{text: "table", quiet: true}, "1\n2\n"},
		{listFormat{text: "raw", raw: "id: {{.ID}}\n", rawQuiet: "only: {{.ID}}"}, "id: 1\n\nid: 2\n\n"},
		{listFormat{text: "raw", quiet: true, rawQuiet: "only: {{.ID}}"}, "only: 1\nonly: 2\n"},
		{listFormat{text: `{{json .Names}} {{pad .ID 1 1}}{{truncate .Names 1}}{{title "ab"}} {{join (split "a,b" ",") "+"}}`}, "\"a\"  1 aAb a+b\n\"bb\"  2 bAb a+b\n"},
	} {
		c.f.header = containerHeader
		var b bytes.Buffer
		if err := c.f.print(&b, rows); err != nil || b.String() != c.want {
			t.Errorf("%+v: %q %v, want %q", c.f, b.String(), err, c.want)
		}
	}
	for _, text := range []string{"{{", "{{.Nope}}", "table {{.Nope}}"} {
		f := listFormat{text: text, header: containerHeader}
		if f.check(containerRow{}) == nil || f.print(&bytes.Buffer{}, rows) == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestNatural(t *testing.T) {
	in := []string{"a10", "a2", "a", "b", "a02", "10", "9", "a2b"}
	slices.SortFunc(in, natural)
	if got := strings.Join(in, " "); got != "9 10 a a2 a2b a02 a10 b" && got != "9 10 a a2 a02 a2b a10 b" {
		t.Errorf("%s", got)
	}
}

func TestTimestamp(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("X", 3600))
	for in, want := range map[string]string{
		"42m": "1767316925", "0": "0", "1136073600.000000001": "1136073600.000000001", "2026-01-01": "1767222000.000000000",
		"2026-01-01Z": "1767225600.000000000", "2026-01-01T01": "1767225600.000000000", "2026-01-01T01:02": "1767225720.000000000",
		"2026-01-01T00:00:00Z": "1767225600.000000000", "2026-01-01T00:00:00.5+00:00": "1767225600.500000000",
		"2026-01-01T02:00+02:00": "1767225600.000000000",
	} {
		if got, err := timestamp(in, now); got != want || err != nil {
			t.Errorf("%s: %s %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "2026-13-01", "1.x", "", "2026-01-01T99"} {
		if got, err := timestamp(in, now); err == nil {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestPruneFilters(t *testing.T) {
	a := &App{config: &clientConfig{PruneFilters: []string{"label=keep", "label!=drop", "until=1h", "bad", "until="}}}
	for in, want := range map[string]string{
		"":             "label=keep label!=drop until=1h",
		"until=5m":     "until=5m label=keep label!=drop",
		"label!=keep":  "label!=keep label!=drop until=1h",
		"label=drop":   "label=drop label=keep until=1h",
		"label=others": "label=others label=keep label!=drop until=1h",
	} {
		if got := strings.Join(a.pruneFilters(strings.Fields(in)), " "); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	q := url.Values{}
	if err := setFilters(q, []string{"label!=a=b", "x=1", "x=2"}); err != nil || q.Get("filters") != `{"label!":{"a=b":true},"x":{"1":true,"2":true}}` {
		t.Errorf("%v %v", q, err)
	}
}

func TestStats(t *testing.T) {
	var s sample
	s.Name, s.ID = "/n", strings.Repeat("a", 64)
	s.CPU.Usage.Total, s.Before.Usage.Total, s.CPU.System, s.Before.System, s.CPU.Online = 300, 100, 2000, 1000, 2
	s.Memory.Usage, s.Memory.Limit, s.Memory.Stats = 3<<20, 6<<20, map[string]uint64{"inactive_file": 1 << 20}
	s.PIDs.Current = 4
	got := s.row("c", false, true)
	if want := (statsRow{BlockIO: "0B / 0B", CPUPerc: "40.00%", Container: "c", ID: strings.Repeat("a", 12), MemPerc: "33.33%", MemUsage: "2MiB / 6MiB", Name: "n", NetIO: "0B / 0B", PIDs: "4"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := s.row("c", true, false); got.CPUPerc != "--" || got.MemUsage != "-- / --" || got.ID != s.ID {
		t.Errorf("stale: %+v", got)
	}
}
