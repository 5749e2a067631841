package options

import (
	"slices"
	"strings"
	"testing"
)

func info() Info {
	return Info{ID: strings.Repeat("ab", 32), Name: "web", ImageID: "sha256:" + strings.Repeat("cd", 32), ImageName: "nginx:1", Command: "nginx -g", Daemon: "hulld",
		Labels: map[string]string{"com.example.a": "1", "b": "2"}, Env: []string{"A=x", "AB=y", "NOVALUE"}, Dir: "/d", File: "f"}
}

func TestParse(t *testing.T) {
	c, err := Parse("", nil, info())
	if err != nil || c.Driver != "local" || c.MaxSize != 20_000_000 || c.MaxFiles != 5 || !c.Compress || c.Buffer != 0 || c.Dir != "/d" || c.Name != "f" {
		t.Errorf("local: %+v %v", c, err)
	}
	c, err = Parse("json-file", map[string]string{"max-size": "10m", "max-file": "3", "compress": "true", "labels": "b,nosuch", "env-regex": "^A", "tag": "{{.Name}}/{{.ID}}/{{.ImageID}}",
		"mode": "non-blocking", "max-buffer-size": "4m"}, info())
	if err != nil || c.MaxSize != 10_000_000 || c.MaxFiles != 3 || !c.Compress || c.Buffer != 4<<20 ||
		string(c.Attrs) != `{"A":"x","AB":"y","b":"2","tag":"web/abababababab/cdcdcdcdcdcd"}` {
		t.Errorf("json-file: %+v %s %v", c, c.Attrs, err)
	}
	if c, err = Parse("json-file", nil, info()); err != nil || c.MaxSize != 0 || c.MaxFiles != 1 || c.Attrs != nil {
		t.Errorf("json-file: %+v %v", c, err)
	}
	c, err = Parse("journald", map[string]string{"labels": "com.example.a"}, info())
	if err != nil || !slices.Contains(c.Fields, "COM_EXAMPLE_A=1") || !slices.Contains(c.Fields, "CONTAINER_TAG=abababababab") || !slices.Contains(c.Fields, "CONTAINER_NAME=web") {
		t.Errorf("journald: %+v %v", c, err)
	}
	c, err = Parse("syslog", map[string]string{"syslog-address": "udp://127.0.0.1", "syslog-facility": "local3", "syslog-format": "rfc5424"}, info())
	if s := c.Syslog; err != nil || s.Network != "udp" || s.Address != "127.0.0.1:514" || s.Priority != 19<<3|6 || s.Format != "rfc5424" || s.Tag != "abababababab" || s.Hostname == "" {
		t.Errorf("syslog: %+v %v", c, err)
	}
	if c, err = Parse("syslog", map[string]string{"syslog-address": "tcp://[::1]:99"}, info()); err != nil || c.Syslog.Address != "[::1]:99" {
		t.Errorf("syslog: %+v %v", c, err)
	}
}

func TestRefused(t *testing.T) {
	for _, x := range []struct {
		driver, text string
		opts         map[string]string
	}{
		{"gelf", "logger: no log driver named 'gelf' is registered", nil},
		{"json-file", "unknown log opt 'foo' for json-file log driver", map[string]string{"foo": "1"}},
		{"local", "unknown log opt 'labels' for local log driver", map[string]string{"labels": "1"}},
		{"json-file", "max-file cannot be less than 1", map[string]string{"max-file": "0"}},
		{"json-file", "compress cannot be true when max-file is less than 2 or max-size is not set", map[string]string{"compress": "true"}},
		{"json-file", "invalid size: 'x'", map[string]string{"max-size": "x"}},
		{"local", "logger: logging mode not supported: fast", map[string]string{"mode": "fast"}},
		{"local", "logger: max-buffer-size option is only supported with 'mode=non-blocking'", map[string]string{"max-buffer-size": "1m"}},
		{"syslog", "syslog over TLS is not supported", map[string]string{"syslog-address": "tcp+tls://1.2.3.4:5"}},
		{"syslog", "syslog over TLS is not supported", map[string]string{"syslog-tls-key": "/x"}},
		{"syslog", "unsupported scheme: 'http'", map[string]string{"syslog-address": "http://1.2.3.4:5"}},
		{"syslog", "syslog-address should be in form proto://address, got x", map[string]string{"syslog-address": "x"}},
		{"syslog", "invalid syslog facility", map[string]string{"syslog-address": "udp://1.2.3.4", "syslog-facility": "x"}},
		{"json-file", "error parsing regexp", map[string]string{"env-regex": "("}},
		{"json-file", "can't evaluate field Nope", map[string]string{"tag": "{{.Nope}}"}},
	} {
		if err := Validate(x.driver, x.opts); err == nil || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s %v: %v, want %s", x.driver, x.opts, err, x.text)
		}
	}
}
