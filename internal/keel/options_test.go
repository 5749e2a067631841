package keel

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	known := []option{{name: "bundle", short: "b", value: true}, {name: "detach", short: "d"}, {name: "env", short: "e", value: true}}
	for _, c := range []struct {
		words   string
		inOrder bool
		want    options
		args    string
	}{
		{"-b /x id", true, options{"bundle": {"/x"}}, "id"},
		{"--bundle=/x=y id", true, options{"bundle": {"/x=y"}}, "id"},
		{"-bundle /x -d id", true, options{"bundle": {"/x"}, "detach": {"true"}}, "id"},
		{"-e A=1 --env=B=2 id", true, options{"env": {"A=1", "B=2"}}, "id"},
		{"-b -d id", true, options{"bundle": {"-d"}}, "id"}, // a value may look like an option
		{"-d=false id", true, options{"detach": {"false"}}, "id"},
		{"-d=1 id", true, options{"detach": {"true"}}, "id"},
		{"id sh -d", true, options{}, "id sh -d"},
		{"id -d", false, options{"detach": {"true"}}, "id"},
		{"-d -- -b id", false, options{"detach": {"true"}}, "-b id"},
		{"id -- sh", true, options{}, "id -- sh"},
		{"- id", true, options{}, "- id"},
		{"", true, options{}, ""},
	} {
		o, args, err := parse(known, strings.Fields(c.words), c.inOrder)
		if err != nil || !reflect.DeepEqual(o, c.want) || strings.Join(args, " ") != c.args {
			t.Errorf("parse(%q, %v) = %v, %q, %v; want %v, %q", c.words, c.inOrder, o, args, err, c.want, c.args)
		}
	}
	for words, want := range map[string]string{
		"--bad id": "flag provided but not defined: -bad",
		"-x":       "flag provided but not defined: -x",
		"--=x":     "flag provided but not defined: -",
		"-b":       "flag needs an argument: -b",
		"-d=maybe": `invalid boolean value "maybe" for -d`,
	} {
		if _, _, err := parse(known, strings.Fields(words), true); err == nil || err.Error() != want {
			t.Errorf("parse(%q): %v, want %q", words, err, want)
		}
	}
}

func TestOptionValues(t *testing.T) {
	o := options{"on": {"false", "true"}, "off": {"true", "false"}, "n": {"1", "2"}}
	if !o.is("on") || o.is("off") || o.is("absent") || o.get("n") != "2" || o.get("absent") != "" || o.has("absent") {
		t.Error("the last value must count, and an absent option is off")
	}
	if n, err := o.count("n"); n != 2 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	for _, bad := range []string{"-1", "x", "4294967296"} {
		if n, err := (options{"n": {bad}}).count("n"); err == nil {
			t.Errorf("count of %q: %d", bad, n)
		}
	}
}

// TestVerbs holds the list of the help text and the switch together, and every option to
// being one that help shows and that no other option hides.
func TestVerbs(t *testing.T) {
	for _, v := range verbs() {
		c, ok := lookup(v)
		if !ok || c.name != v || c.run == nil || c.brief == "" {
			t.Errorf("verb %s: %+v", v, c)
			continue
		}
		text := c.help()
		if !strings.Contains(help(), "   "+v+" ") {
			t.Errorf("keel help does not list %s", v)
		}
		seen := map[string]bool{"help": true, "h": true}
		for _, o := range c.options {
			if seen[o.name] || o.short != "" && seen[o.short] {
				t.Errorf("%s: --%s, -%s is there twice", v, o.name, o.short)
			}
			seen[o.name] = true
			if o.short != "" {
				seen[o.short] = true
			}
			if strings.Contains(text, "--"+o.name) == o.hidden {
				t.Errorf("%s --help: --%s, hidden %v, in the text:\n%s", v, o.name, o.hidden, text)
			}
			if o.usage == "" && !o.hidden || strings.Count(o.usage, "`")%2 != 0 {
				t.Errorf("%s: --%s has the usage %q", v, o.name, o.usage)
			}
		}
	}
	if _, ok := lookup("init"); ok {
		t.Error("a verb that is not in the list")
	}
}

// TestRuncOptions holds every verb to the options of runc 1.5's command line
// (shared/features/oci-runtime.tsv), long and short.
func TestRuncOptions(t *testing.T) {
	const bundle = "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds"
	for verb, list := range map[string]string{
		"create": bundle,
		"run":    bundle + " detach d no-subreaper keep",
		"exec": "console-socket pidfd-socket cwd env e tty t user u additional-gids g process p detach d pid-file process-label apparmor no-new-privs " +
			"cap c preserve-fds cgroup ignore-paused",
		"delete": "force f", "kill": "all a", "list": "format f quiet q", "ps": "format f", "events": "interval stats", "spec": "bundle b rootless",
		"update": "resources r blkio-weight cpu-period cpu-quota cpu-burst cpu-rt-period cpu-rt-runtime cpu-share cpu-idle cpuset-cpus cpuset-mems " +
			"memory memory-reservation memory-swap pids-limit l3-cache-schema mem-bw-schema kernel-memory kernel-memory-tcp",
		"start": "", "state": "", "pause": "", "resume": "", "features": "",
	} {
		c, ok := lookup(verb)
		if !ok {
			t.Errorf("no verb %s", verb)
		}
		for name := range strings.FieldsSeq(list) {
			if _, ok := find(c.options, name); !ok {
				t.Errorf("%s does not know the option %s", verb, name)
			}
		}
	}
	for name := range strings.FieldsSeq("debug log log-format root systemd-cgroup rootless criu help h version v") {
		if _, ok := find(globalOptions(), name); !ok {
			t.Errorf("no global option %s", name)
		}
	}
}

func TestCheckArgs(t *testing.T) {
	for _, c := range []struct {
		verb string
		n    int
		want string
	}{
		{"state", 1, ""},
		{"state", 0, `"state" requires exactly 1 argument(s)`},
		{"state", 2, `"state" requires exactly 1 argument(s)`},
		{"kill", 0, `"kill" requires a minimum of 1 argument(s)`},
		{"kill", 2, ""},
		{"kill", 3, `"kill" requires a maximum of 2 argument(s)`},
		{"exec", 9, ""},
		{"list", 1, `"list" requires exactly 0 argument(s)`},
	} {
		v, _ := lookup(c.verb)
		got := ""
		if err := v.checkArgs(c.n); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s with %d arguments: %q, want %q", c.verb, c.n, got, c.want)
		}
	}
}
