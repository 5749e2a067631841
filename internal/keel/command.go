package keel

import (
	"fmt"
	"strings"

	"github.com/hull-dev/hull/internal/ociruntime"
)

// command is a verb.
type command struct {
	name    string
	brief   string // one line
	args    string // as in the usage line
	about   string // what the help text adds; may be empty
	options []option
	min     int  // arguments
	max     int  // arguments; -1: any number
	inOrder bool // the first argument ends the options
	starts  bool // starts processes that a container can see, so the program is sealed before
	run     func(r *ociruntime.Runtime, o options, args []string) (int, error)
}

const containerID = "<container-id>"

// verbs are the commands in the order of the help text.
func verbs() []string {
	return []string{"checkpoint", "create", "delete", "events", "exec", "features", "kill", "list", "pause", "ps", "restore", "resume", "run", "spec", "start", "state", "update"}
}

// lookup finds a verb: a switch, so that start-up builds no table.
func lookup(verb string) (command, bool) {
	switch verb {
	case "checkpoint":
		return checkpointCommand(), true
	case "create":
		return createCommand(), true
	case "delete":
		return deleteCommand(), true
	case "events":
		return eventsCommand(), true
	case "exec":
		return execCommand(), true
	case "features":
		return featuresCommand(), true
	case "kill":
		return killCommand(), true
	case "list":
		return listCommand(), true
	case "pause":
		return pauseCommand(), true
	case "ps":
		return psCommand(), true
	case "restore":
		return restoreCommand(), true
	case "resume":
		return resumeCommand(), true
	case "run":
		return runCommand(), true
	case "shim":
		return shimCommand(), true
	case "spec":
		return specCommand(), true
	case "start":
		return startCommand(), true
	case "state":
		return stateCommand(), true
	case "update":
		return updateCommand(), true
	}
	return command{}, false
}

func (c command) checkArgs(n int) error {
	switch {
	case c.min == c.max && n != c.min:
		return fmt.Errorf("%q requires exactly %d argument(s)", c.name, c.min)
	case n < c.min:
		return fmt.Errorf("%q requires a minimum of %d argument(s)", c.name, c.min)
	case c.max >= 0 && n > c.max:
		return fmt.Errorf("%q requires a maximum of %d argument(s)", c.name, c.max)
	}
	return nil
}

func helpOption() option { return option{name: "help", short: "h", usage: "show help"} }

// help is the text of `keel VERB --help`.
func (c command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "NAME:\n   keel %s - %s\n\nUSAGE:\n   keel %s", c.name, c.brief, c.name)
	if len(c.options) > 0 {
		b.WriteString(" [command options]")
	}
	if c.args != "" {
		b.WriteString(" " + c.args)
	}
	b.WriteString("\n")
	if c.about != "" {
		b.WriteString("\nDESCRIPTION:\n" + indent(c.about))
	}
	if len(c.options) > 0 {
		b.WriteString("\nOPTIONS:\n")
		describe(&b, c.options)
	}
	return b.String()
}

func indent(text string) string {
	return "   " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n   ") + "\n"
}

// describe writes options in two columns.
func describe(b *strings.Builder, list []option) {
	var left, right []string
	width := 0
	for _, o := range list {
		if o.hidden {
			continue
		}
		value, usage := "", o.usage
		if o.value {
			value = " value"
			if before, rest, ok := strings.Cut(usage, "`"); ok {
				word, after, _ := strings.Cut(rest, "`")
				value, usage = " "+word, before+word+after
			}
		}
		l := "--" + o.name + value
		if o.short != "" {
			l += ", -" + o.short + value
		}
		left, right = append(left, l), append(right, usage)
		width = max(width, len(l))
	}
	for i := range left {
		fmt.Fprintf(b, "   %-*s  %s\n", width, left[i], right[i])
	}
}

// help is the text of `keel --help`.
func help() string {
	var b strings.Builder
	b.WriteString("NAME:\n   keel - Hull's OCI runtime: runs containers from OCI bundles, as runc does\n\n" +
		"USAGE:\n   keel [global options] command [command options] [arguments...]\n\nCOMMANDS:\n")
	for _, v := range verbs() {
		c, _ := lookup(v)
		fmt.Fprintf(&b, "   %-12s%s\n", v, c.brief)
	}
	b.WriteString("   help, h     show the commands, or help for one\n\nGLOBAL OPTIONS:\n")
	describe(&b, globalOptions())
	return b.String()
}

func helpFor(l *logger, topic []string) int {
	if len(topic) == 0 {
		fmt.Print(help())
		return 0
	}
	c, ok := lookup(topic[0])
	if !ok {
		return l.fail(fmt.Errorf("no help topic for %q", topic[0]), exitUnknownVerb)
	}
	fmt.Print(c.help())
	return 0
}
