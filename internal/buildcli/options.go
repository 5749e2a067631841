package buildcli

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// options are the flags of `hull build`.
type options struct {
	host, context, file, target, platform, network, progress, iidFile, metadataFile, cgroupParent                 string
	tags, args, labels, hosts, secrets, ssh, outputs, ulimits, cacheFrom, cacheTo, contexts, allow, noCacheFilter []string
	shmSize                                                                                                       string
	noCache, pull, quiet, check                                                                                   bool
	temp                                                                                                          string // directory of a Dockerfile from standard input
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// parse reads the command line. Flags may follow the context.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{host: os.Getenv("HULL_HOST"), progress: os.Getenv("BUILDKIT_PROGRESS")}
	if o.host == "" {
		o.host = os.Getenv("DOCKER_HOST")
	}
	if o.host == "" {
		o.host = "unix:///run/hull/hull.sock"
	}
	f := flag.NewFlagSet("hull build", flag.ContinueOnError)
	f.SetOutput(stderr)
	text := func(into *string, usage string, names ...string) {
		for _, n := range names {
			f.StringVar(into, n, *into, usage)
		}
	}
	many := func(into *[]string, usage string, names ...string) {
		for _, n := range names {
			f.Var((*list)(into), n, usage)
		}
	}
	text(&o.host, "socket of hulld", "H", "host")
	text(&o.file, "name of the Dockerfile; - for standard input", "f", "file")
	text(&o.target, "stage to build", "target")
	text(&o.platform, "platforms, separated by commas", "platform")
	text(&o.network, "default, none or host, for RUN", "network")
	text(&o.progress, "auto, plain, tty, rawjson or quiet", "progress")
	text(&o.iidFile, "file for the image's ID", "iidfile")
	text(&o.metadataFile, "file for what is known of the result", "metadata-file")
	text(&o.cgroupParent, "parent of the instructions' cgroups", "cgroup-parent")
	text(&o.shmSize, "size of /dev/shm", "shm-size")
	many(&o.tags, "name of the image", "t", "tag")
	many(&o.args, "build-time variable, NAME=VALUE or NAME", "build-arg")
	many(&o.labels, "label, NAME=VALUE", "label")
	many(&o.hosts, "line of /etc/hosts, HOST:IP", "add-host")
	many(&o.secrets, "id=ID[,src=FILE|,env=NAME]", "secret")
	many(&o.ssh, "default or ID[=SOCKET|KEY,…]", "ssh")
	many(&o.outputs, "type=TYPE[,dest=PATH,…], or a directory", "o", "output")
	many(&o.ulimits, "limit, NAME=SOFT[:HARD]", "ulimit")
	many(&o.cacheFrom, "results to use, type=registry|local,…", "cache-from")
	many(&o.cacheTo, "where to put results, type=inline|registry|local,…", "cache-to")
	many(&o.contexts, "further context, NAME=PATH", "build-context")
	many(&o.allow, "entitlement: network.host, security.insecure", "allow")
	many(&o.noCacheFilter, "stage to build anew", "no-cache-filter")
	f.BoolVar(&o.noCache, "no-cache", false, "build all anew")
	f.BoolVar(&o.pull, "pull", false, "ask registries for newer images")
	f.BoolVar(&o.check, "check", false, "check the Dockerfile, build nothing")
	f.BoolVar(&o.quiet, "q", false, "print the image's ID only")
	f.BoolVar(&o.quiet, "quiet", false, "print the image's ID only")
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		if o.context != "" {
			return nil, errors.New("'hull build' requires 1 argument")
		}
		o.context, args = args[0], args[1:]
	}
	if o.context == "" {
		return nil, errors.New("'hull build' requires 1 argument")
	}
	return o, nil
}

// attrs are the frontend's options.
func (o *options) attrs() (map[string]string, error) {
	a := map[string]string{"image-resolve-mode": "local"}
	if o.pull {
		a["image-resolve-mode"] = "pull"
	}
	for key, v := range map[string]string{"target": o.target, "platform": o.platform, "cgroup-parent": o.cgroupParent} {
		if v != "" {
			a[key] = v
		}
	}
	if o.noCache {
		a["no-cache"] = ""
	} else if len(o.noCacheFilter) > 0 {
		a["no-cache"] = strings.Join(o.noCacheFilter, ",")
	}
	for _, v := range o.args {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		a["build-arg:"+name] = value
	}
	for _, v := range o.labels {
		name, value, _ := strings.Cut(v, "=")
		a["label:"+name] = value
	}
	switch o.network {
	case "", "default":
	case "none", "host":
		a["force-network-mode"] = o.network
	default:
		return nil, fmt.Errorf("network mode %q not supported by buildkit", o.network)
	}
	var hosts []string
	for _, h := range o.hosts {
		name, ip, ok := strings.Cut(h, "=")
		if !ok {
			if name, ip, ok = strings.Cut(h, ":"); !ok {
				return nil, fmt.Errorf("invalid host %s", h)
			}
		}
		hosts = append(hosts, name+"="+strings.Trim(ip, "[]"))
	}
	if len(hosts) > 0 {
		a["add-hosts"] = strings.Join(hosts, ",")
	}
	if o.shmSize != "" {
		n, err := units.RAMInBytes(o.shmSize)
		if err != nil {
			return nil, fmt.Errorf("--shm-size: %w", err)
		}
		a["shm-size"] = strconv.FormatInt(n, 10)
	}
	if len(o.ulimits) > 0 {
		for _, u := range o.ulimits {
			if _, err := units.ParseUlimit(u); err != nil {
				return nil, err
			}
		}
		a["ulimit"] = strings.Join(o.ulimits, ",")
	}
	if o.check {
		a["requestid"] = "frontend.lint"
	}
	return a, nil
}

// fields reads "a=b,c=d"; a lone word is given under "".
func fields(s string) (map[string]string, error) {
	row, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", s, err)
	}
	out := make(map[string]string)
	for _, part := range row {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			key, value = "", part
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%q has %q twice", s, key)
		}
		out[key] = value
	}
	return out, nil
}
