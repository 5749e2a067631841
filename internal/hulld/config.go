package hulld

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/hull-dev/hull/internal/registry"
)

// Config is what hulld is told, by its configuration file and, with precedence, by flags.
type Config struct {
	DataRoot     string   `toml:"data-root"`
	StateDir     string   `toml:"state-dir"`
	Hosts        []string `toml:"hosts"` // unix:///PATH
	LogFile      string   `toml:"log-file"`
	LogLevel     string   `toml:"log-level"`
	Snapshotter  string   `toml:"snapshotter"`        // "" chooses by probing
	RegistryDirs string   `toml:"registry-dir"`       // of HOST/hosts.toml files
	CertDirs     []string `toml:"registry-cert-dirs"` // of HOST/*.crt, *.cert and *.key, Docker's certs.d
	Mirrors      []string `toml:"registry-mirrors"`
	Insecure     []string `toml:"insecure-registries"`
	Parallel     int      `toml:"max-concurrent-downloads"`

	Keel      string              `toml:"keel"`             // the runtime; "" is beside hulld
	Init      bool                `toml:"init"`             // containers that do not say have a small init
	Runtimes  map[string][]string `toml:"runtimes"`         // command lines of other OCI runtimes, by the name that --runtime takes
	InitPath  string              `toml:"init-path"`        // "" is hull-init beside hulld
	UserNS    string              `toml:"userns"`           // "private": a user namespace for each container; "host": none
	Profile   string              `toml:"security-profile"` // "default", "compat", "strict"
	LogDriver string              `toml:"log-driver"`       // of containers that do not say
	Networks  string              `toml:"networks"`         // "on" or "off"
	LogOpts   map[string]string   `toml:"log-opts"`
}

// defaultConfig is where the configuration file is looked for when --config does not say.
const defaultConfig = "/etc/hull/hulld.toml"

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// errVersion is returned by parse for --version.
var errVersion = errors.New("version")

// parse reads flags and the configuration file. Usage goes to out.
func parse(args []string, out io.Writer) (Config, error) {
	var flags Config
	var config string
	var version bool
	set := flag.NewFlagSet("hulld", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&config, "config", defaultConfig, "configuration file (TOML, keys as the flags)")
	set.StringVar(&flags.DataRoot, "data-root", defaultRoot, "directory of images, containers and volumes")
	set.StringVar(&flags.StateDir, "state-dir", "/run/hull", "directory of the socket and the log")
	list := func(to *[]string, name, usage string) {
		set.Func(name, usage, func(s string) error {
			*to = append(*to, s)
			return nil
		})
	}
	list(&flags.Hosts, "host", "socket to listen on, unix:///PATH; may be repeated (default unix://STATE-DIR/hull.sock)")
	list(&flags.Mirrors, "registry-mirror", "URL that is asked before docker.io; may be repeated")
	list(&flags.Insecure, "insecure-registry", "host[:port] or network whose registries need no certificate and may speak plain HTTP; may be repeated")
	list(&flags.CertDirs, "registry-cert-dir", "directory of HOST/*.crt, *.cert and *.key; may be repeated (default /etc/hull/certs.d and /etc/docker/certs.d)")
	set.StringVar(&flags.LogFile, "log-file", "", "log, \"-\" for standard error (default STATE-DIR/hulld.log)")
	set.StringVar(&flags.LogLevel, "log-level", "info", "debug, info, warn or error")
	set.StringVar(&flags.Snapshotter, "snapshotter", "", "overlay, erofs or native (default: by probing)")
	set.StringVar(&flags.RegistryDirs, "registry-dir", "/etc/hull/certs.d", "directory of HOST/hosts.toml files")
	set.IntVar(&flags.Parallel, "max-concurrent-downloads", 0, "layers of a pull at a time (default 4)")
	set.StringVar(&flags.Keel, "keel", "", "the runtime of containers (default keel beside hulld)")
	set.StringVar(&flags.UserNS, "userns", "private", "private: each container has a user namespace and ids of its own; host: none has")
	set.StringVar(&flags.Networks, "networks", "on", "on or off: off leaves the host's network alone, containers have none or the host's")
	set.StringVar(&flags.Profile, "security-profile", "default", "default, compat (as Docker's) or strict")
	set.StringVar(&flags.LogDriver, "log-driver", "local", "where containers' output goes that do not say: local, json-file, journald, syslog, none")
	set.BoolVar(&version, "version", false, "print the version")
	if err := set.Parse(args); err != nil {
		return Config{}, err
	}
	if version {
		return Config{}, errVersion
	}
	if set.NArg() > 0 {
		return Config{}, fmt.Errorf("hulld takes no arguments, got %q", set.Arg(0))
	}
	given := make(map[string]bool)
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	file, err := readConfig(config, given["config"])
	if err != nil {
		return Config{}, err
	}
	return merge(flags, file, given).finish()
}

// readConfig reads the file; one that is missing matters only when it was named.
func readConfig(path string, named bool) (Config, error) {
	var c Config
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("opening the configuration: %w", err)
	}
	defer f.Close()
	err = toml.NewDecoder(io.LimitReader(f, maxConfig)).DisallowUnknownFields().Decode(&c)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		return c, fmt.Errorf("configuration %s: unknown setting %q", path, strings.Join(strict.Errors[0].Key(), "."))
	}
	if err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// merge takes the file's values where no flag was given.
func merge(flags, file Config, given map[string]bool) Config {
	text := func(name string, to *string, from string) {
		if from != "" && !given[name] {
			*to = from
		}
	}
	text("data-root", &flags.DataRoot, file.DataRoot)
	text("state-dir", &flags.StateDir, file.StateDir)
	text("log-file", &flags.LogFile, file.LogFile)
	text("log-level", &flags.LogLevel, file.LogLevel)
	text("snapshotter", &flags.Snapshotter, file.Snapshotter)
	text("registry-dir", &flags.RegistryDirs, file.RegistryDirs)
	text("keel", &flags.Keel, file.Keel)
	text("init-path", &flags.InitPath, file.InitPath)
	flags.Init, flags.Runtimes = file.Init, file.Runtimes
	text("userns", &flags.UserNS, file.UserNS)
	text("networks", &flags.Networks, file.Networks)
	text("security-profile", &flags.Profile, file.Profile)
	text("log-driver", &flags.LogDriver, file.LogDriver)
	flags.LogOpts = file.LogOpts
	lists := func(name string, to *[]string, from []string) {
		if len(from) > 0 && !given[name] {
			*to = from
		}
	}
	lists("host", &flags.Hosts, file.Hosts)
	lists("registry-mirror", &flags.Mirrors, file.Mirrors)
	lists("insecure-registry", &flags.Insecure, file.Insecure)
	lists("registry-cert-dir", &flags.CertDirs, file.CertDirs)
	if file.Parallel != 0 && !given["max-concurrent-downloads"] {
		flags.Parallel = file.Parallel
	}
	return flags
}

// finish fills in what depends on other settings, and checks.
func (c Config) finish() (Config, error) {
	for _, dir := range []*string{&c.DataRoot, &c.StateDir} {
		if !filepath.IsAbs(*dir) {
			return c, fmt.Errorf("%q is not an absolute path", *dir)
		}
		*dir = filepath.Clean(*dir)
	}
	if c.LogFile == "" {
		c.LogFile = filepath.Join(c.StateDir, "hulld.log")
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"unix://" + filepath.Join(c.StateDir, "hull.sock")}
	}
	for _, h := range c.Hosts {
		if path, ok := strings.CutPrefix(h, "unix://"); !ok || !filepath.IsAbs(path) {
			return c, fmt.Errorf("host %q: hulld listens on unix:///PATH only", h)
		}
	}
	if len(c.CertDirs) == 0 {
		c.CertDirs = []string{"/etc/hull/certs.d", "/etc/docker/certs.d"}
	}
	if err := c.registries().Check(); err != nil {
		return c, err
	}
	if c.Parallel < 0 || c.Parallel > 64 {
		return c, fmt.Errorf("max-concurrent-downloads is %d, want 1 to 64", c.Parallel)
	}
	if c.UserNS != "private" && c.UserNS != "host" {
		return c, fmt.Errorf("userns is %q, want private or host", c.UserNS)
	}
	if c.Networks != "on" && c.Networks != "off" {
		return c, fmt.Errorf("networks is %q, want on or off", c.Networks)
	}
	if c.Keel != "" && !filepath.IsAbs(c.Keel) {
		return c, fmt.Errorf("keel %q is not an absolute path", c.Keel)
	}
	for name, words := range c.Runtimes {
		if len(words) == 0 || !filepath.IsAbs(words[0]) || name == "keel" {
			return c, fmt.Errorf("runtimes: %s: want a command line that begins with an absolute path, and a name other than keel", name)
		}
	}
	if _, err := c.level(); err != nil {
		return c, err
	}
	return c, nil
}

// registries are the settings of the registry client.
func (c Config) registries() registry.Settings {
	return registry.Settings{Dir: registry.HostsDir(c.RegistryDirs), CertDirs: c.CertDirs, Mirrors: c.Mirrors, Insecure: c.Insecure}
}

func (c Config) level() (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return l, fmt.Errorf("log level %q: want debug, info, warn or error", c.LogLevel)
	}
	return l, nil
}

// defaultRoot is the data root of a host's first hulld.
const defaultRoot = "/var/lib/hull"

// instance tells the devices and rules of several hulld on one host apart: "" for the first.
func (c Config) instance() string {
	if c.DataRoot == defaultRoot {
		return ""
	}
	sum := sha256.Sum256([]byte(c.DataRoot))
	return hex.EncodeToString(sum[:3])
}
