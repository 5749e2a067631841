// Package options turns Docker's log options (--log-driver, --log-opt) into a
// [logfile.Config]. It is hulld's: templates and regular expressions stay out of the shim.
//
// Names, values, defaults and error texts are dockerd's. What is different: the default driver
// is local; and syslog over TLS (tcp+tls://, syslog-tls-*) is refused, since the shim, which has
// no TLS, speaks to syslog itself so that logs go on without hulld.
package options

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/docker/go-units"
	"github.com/hull-dev/hull/internal/logfile"
)

// Info is the container that the log is of.
type Info struct {
	ID        string
	Name      string // without a slash
	ImageID   string // with "sha256:"
	ImageName string // as the container was created with
	Command   string // program and arguments
	Daemon    string // name of the engine
	Labels    map[string]string
	Env       []string
	Dir, File string // where files go: json-file writes Dir/File
}

// Limits of the local driver, dockerd's.
const (
	localSize  = 20_000_000
	localFiles = 5
)

// Validate checks options without a container, as dockerd does when one is created.
func Validate(driver string, opts map[string]string) error {
	_, err := Parse(driver, opts, Info{ID: strings.Repeat("0", 64), Name: "name"})
	return err
}

// Parse makes the configuration. driver "" is local.
func Parse(driver string, opts map[string]string, info Info) (c logfile.Config, err error) {
	if driver == "" {
		driver = logfile.DriverLocal
	}
	c = logfile.Config{Driver: driver, Dir: info.Dir, Name: info.File, MaxFiles: 1}
	if err := mode(&c, opts); err != nil {
		return c, err
	}
	switch driver {
	case logfile.DriverNone:
		return c, nil
	case logfile.DriverLocal:
		err = local(&c, opts)
	case logfile.DriverJSONFile:
		err = jsonFile(&c, opts, &info)
	case logfile.DriverJournald:
		err = journald(&c, opts, &info)
	case logfile.DriverSyslog:
		err = syslog(&c, opts, &info)
	default:
		err = fmt.Errorf("logger: no log driver named '%s' is registered", driver)
	}
	return c, err
}

// mode reads what all drivers have in common.
func mode(c *logfile.Config, opts map[string]string) error {
	switch m := opts["mode"]; m {
	case "", "blocking":
		if _, ok := opts["max-buffer-size"]; ok {
			return errors.New("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
		}
		return nil
	case "non-blocking":
		c.Buffer = logfile.DefaultBuffer
	default:
		return fmt.Errorf("logger: logging mode not supported: %s", m)
	}
	if s, ok := opts["max-buffer-size"]; ok {
		n, err := units.RAMInBytes(s)
		if err != nil {
			return fmt.Errorf("error parsing option max-buffer-size: %w", err)
		}
		if n <= 0 || n > 1<<30 {
			return fmt.Errorf("error parsing option max-buffer-size: %s is not between 1 byte and 1 GiB", s)
		}
		c.Buffer = int(n)
	}
	return nil
}

// known refuses options that a driver does not have.
func known(driver string, opts map[string]string, names ...string) error {
	var keys []string
	for k := range opts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k != "mode" && k != "max-buffer-size" && !slices.Contains(names, k) {
			return fmt.Errorf("unknown log opt '%s' for %s log driver", k, driver)
		}
	}
	return nil
}

// rotation reads max-size, max-file and compress.
func rotation(c *logfile.Config, opts map[string]string) error {
	if s, ok := opts["max-size"]; ok {
		n, err := units.FromHumanSize(s)
		if err != nil {
			return err
		}
		if n <= 0 {
			return errors.New("max-size must be a positive number")
		}
		c.MaxSize = n
	}
	if s, ok := opts["max-file"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		if n < 1 {
			return errors.New("max-file cannot be less than 1")
		}
		if n > 10_000 {
			return errors.New("max-file cannot be more than 10000")
		}
		c.MaxFiles = n
	}
	if s, ok := opts["compress"]; ok {
		on, err := strconv.ParseBool(s)
		if err != nil {
			return err
		}
		c.Compress = on
	}
	return nil
}

func local(c *logfile.Config, opts map[string]string) error {
	if err := known("local", opts, "max-size", "max-file", "compress"); err != nil {
		return err
	}
	c.MaxSize, c.MaxFiles, c.Compress = localSize, localFiles, true
	return rotation(c, opts)
}

func jsonFile(c *logfile.Config, opts map[string]string, info *Info) error {
	if err := known("json-file", opts, "max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"); err != nil {
		return err
	}
	if err := rotation(c, opts); err != nil {
		return err
	}
	if c.Compress && (c.MaxFiles < 2 || c.MaxSize <= 0) {
		return errors.New("compress cannot be true when max-file is less than 2 or max-size is not set")
	}
	attrs, err := extra(opts, info, nil)
	if err != nil {
		return err
	}
	if opts["tag"] != "" {
		tag, err := tagOf(opts["tag"], info)
		if err != nil {
			return err
		}
		attrs["tag"] = tag
	}
	if len(attrs) > 0 {
		c.Attrs, err = json.Marshal(attrs) // in the order of the names
	}
	return err
}

func journald(c *logfile.Config, opts map[string]string, info *Info) error {
	if err := known("journald", opts, "labels", "labels-regex", "env", "env-regex", "tag"); err != nil {
		return err
	}
	tag, err := tagOf(opts["tag"], info)
	if err != nil {
		return err
	}
	// A field of the journal is made of capital letters, digits and underscores.
	attrs, err := extra(opts, info, func(name string) string {
		name = strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z':
				return r - 'a' + 'A'
			case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
				return r
			}
			return '_'
		}, name)
		return strings.TrimLeft(name, "_")
	})
	if err != nil {
		return err
	}
	c.Fields = []string{"CONTAINER_ID=" + short(info.ID), "CONTAINER_ID_FULL=" + info.ID, "CONTAINER_NAME=" + info.Name, "CONTAINER_TAG=" + tag,
		"IMAGE_NAME=" + info.ImageName, "SYSLOG_IDENTIFIER=" + tag}
	var names []string
	for k := range attrs {
		if k != "" && len(k) <= 64 && (k[0] < '0' || k[0] > '9') {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		c.Fields = append(c.Fields, k+"="+attrs[k])
	}
	return nil
}

func short(id string) string { return id[:min(12, len(id))] }

// facilities are syslog's names in the order of their numbers.
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "", "",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

func syslog(c *logfile.Config, opts map[string]string, info *Info) (err error) {
	for k := range opts {
		if strings.HasPrefix(k, "syslog-tls-") {
			return fmt.Errorf("%s: syslog over TLS is not supported; let a local syslog daemon forward the messages", k)
		}
	}
	if err := known("syslog", opts, "env", "env-regex", "labels", "labels-regex", "syslog-address", "syslog-facility", "tag", "syslog-format"); err != nil {
		return err
	}
	s := &c.Syslog
	if s.Network, s.Address, err = address(opts["syslog-address"]); err != nil {
		return err
	}
	const daemon, info6 = 3, 6
	facility := daemon
	if f := opts["syslog-facility"]; f != "" {
		if facility = slices.Index(facilities, f); facility < 0 {
			if facility, err = strconv.Atoi(f); err != nil || facility < 0 || facility > 23 {
				return errors.New("invalid syslog facility")
			}
		}
	}
	s.Priority = facility<<3 | info6
	switch s.Format = opts["syslog-format"]; s.Format {
	case "", "rfc3164", "rfc5424", "rfc5424micro":
	default:
		return errors.New("Invalid syslog format") //nolint:staticcheck // dockerd's text
	}
	if s.Tag, err = tagOf(opts["tag"], info); err != nil {
		return err
	}
	s.Hostname, err = os.Hostname()
	return err
}

// address reads syslog-address. A name is looked up here: the shim knows numbers only.
func address(s string) (network, to string, err error) {
	if s == "" {
		for _, path := range []string{"/dev/log", "/var/run/syslog", "/var/run/log"} {
			if _, err := os.Stat(path); err == nil {
				return "unixgram", path, nil
			}
		}
		return "unixgram", "/dev/log", nil
	}
	network, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", "", fmt.Errorf("syslog-address should be in form proto://address, got %v", s)
	}
	switch network {
	case "unix", "unixgram":
		if _, err := os.Stat(rest); err != nil {
			return "", "", err
		}
		return network, rest, nil
	case "tcp+tls":
		return "", "", errors.New("syslog-address: syslog over TLS is not supported; let a local syslog daemon forward the messages")
	case "udp", "tcp":
	default:
		return "", "", fmt.Errorf("unsupported scheme: '%s'", network)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		if !strings.Contains(err.Error(), "missing port in address") {
			return "", "", err
		}
		host, port = strings.Trim(rest, "[]"), "514"
	}
	n, err := net.LookupPort(network, port)
	if err != nil {
		return "", "", err
	}
	ip := net.ParseIP(host)
	if ip == nil {
		a, err := net.ResolveIPAddr("ip", host)
		if err != nil {
			return "", "", err
		}
		ip = a.IP
	}
	return network, net.JoinHostPort(ip.String(), strconv.Itoa(n)), nil
}

// extra are the labels and environment variables that the options name.
func extra(opts map[string]string, info *Info, rename func(string) string) (map[string]string, error) {
	if rename == nil {
		rename = func(s string) string { return s }
	}
	out := map[string]string{}
	env := map[string]string{}
	for _, e := range info.Env {
		if k, v, ok := strings.Cut(e, "="); ok {
			env[k] = v
		}
	}
	for _, o := range [...]struct {
		option string
		from   map[string]string
	}{{"labels", info.Labels}, {"env", env}} {
		if names := opts[o.option]; names != "" {
			for n := range strings.SplitSeq(names, ",") {
				if v, ok := o.from[n]; ok {
					out[rename(n)] = v
				}
			}
		}
		if pattern := opts[o.option+"-regex"]; pattern != "" {
			re, err := regexp.Compile(pattern)
			if err != nil {
				return nil, err
			}
			for k, v := range o.from {
				if re.MatchString(k) {
					out[rename(k)] = v
				}
			}
		}
	}
	return out, nil
}

// tagData is what a tag's template sees, by dockerd's names.
type tagData struct{ *Info }

func (d tagData) ID() string                { return short(d.Info.ID) }
func (d tagData) FullID() string            { return d.Info.ID }
func (d tagData) Name() string              { return d.Info.Name }
func (d tagData) ImageID() string           { return short(strings.TrimPrefix(d.Info.ImageID, "sha256:")) }
func (d tagData) ImageFullID() string       { return d.Info.ImageID }
func (d tagData) ImageName() string         { return d.Info.ImageName }
func (d tagData) DaemonName() string        { return d.Info.Daemon }
func (d tagData) Command() string           { return d.Info.Command }
func (d tagData) Hostname() (string, error) { return os.Hostname() }

// tagOf executes the template of a tag; by default it is the short ID.
func tagOf(text string, info *Info) (string, error) {
	if text == "" {
		return short(info.ID), nil
	}
	t, err := template.New("log-tag").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, tagData{info}); err != nil {
		return "", err
	}
	return b.String(), nil
}
