package cli

import (
	"fmt"
	"slices"
	"strings"
)

// argumentError is a wrong number of arguments: Docker's exit status for it is 1, not 125.
type argumentError struct {
	text string
	see  string // how the last line begins
}

func (e argumentError) Error() string { return e.text }

// need checks the number of arguments; a negative most is any.
func (a *App) need(args []string, least, most int) error {
	n := len(args)
	plural := func(n int) string {
		if n == 1 {
			return "argument"
		}
		return "arguments"
	}
	name := "'hull " + a.verb.name + "' "
	switch {
	case n >= least && (most < 0 || n <= most):
		return nil
	case most == 0:
		return argumentError{name + "accepts no arguments", "Run"}
	case least == most:
		return argumentError{fmt.Sprintf("%srequires %d %s", name, least, plural(least)), "Run"}
	case most < 0:
		return argumentError{fmt.Sprintf("%srequires at least %d %s", name, least, plural(least)), "See"}
	case least == 0:
		return argumentError{fmt.Sprintf("%srequires at most %d %s", name, most, plural(most)), "Run"}
	}
	return argumentError{fmt.Sprintf("%srequires at least %d and at most %d %s", name, least, most, plural(most)), "Run"}
}

// usageLine is "hull ps [OPTIONS]".
func (v *verb) usageLine() string {
	if v.args == "" {
		return "hull " + v.name
	}
	return "hull " + v.name + " " + v.args
}

// usage prints the help of a verb.
func (a *App) usage(v *verb, o *options) {
	fmt.Fprintf(a.Out, "\nUsage:  %s\n\n%s\n", v.usageLine(), v.help)
	if names := aliasesOf(v); len(names) > 1 {
		fmt.Fprintf(a.Out, "\nAliases:\n  hull %s\n", strings.Join(names, ", hull "))
	}
	if !slices.ContainsFunc(o.all, func(opt *option) bool { return opt.help != "" }) {
		return
	}
	fmt.Fprint(a.Out, "\nOptions:")
	a.listOptions(o)
}

// listOptions prints options with their help.
func (a *App) listOptions(o *options) {
	fmt.Fprintln(a.Out)
	listed := slices.DeleteFunc(slices.Clone(o.all), func(opt *option) bool { return opt.help == "" })
	slices.SortFunc(listed, func(a, b *option) int { return strings.Compare(a.name, b.name) })
	width := 0
	left := func(opt *option) string {
		s := "      --"
		if opt.short != 0 {
			s = fmt.Sprintf("  -%c, --", opt.short)
		}
		return strings.TrimRight(s+opt.name+" "+opt.kind, " ")
	}
	for _, opt := range listed {
		width = max(width, len(left(opt)))
	}
	for _, opt := range listed {
		text := opt.help
		if opt.def != "" {
			text += " (default " + opt.def + ")"
		}
		for i, line := range wrap(text, max(80-width-3, 24)) {
			l := ""
			if i == 0 {
				l = left(opt)
			}
			fmt.Fprintf(a.Out, "%-*s   %s\n", width, l, line)
		}
	}
}

// wrap breaks a text into lines of at most n bytes where it has blanks.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > n {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// aliasesOf are the names that run the same thing.
func aliasesOf(v *verb) []string {
	var names []string
	for _, other := range verbs() {
		if other.help == v.help && other.args == v.args {
			names = append(names, other.name)
		}
	}
	return names
}

// groups are the first words of verbs of two.
func groups() []string {
	var all []string
	for _, v := range verbs() {
		if g, _, ok := strings.Cut(v.name, " "); ok && !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	return all
}

// groupHelp says what a group is about.
func groupHelp(name string) string {
	return "Manage " + map[string]string{
		"system": "hulld", "checkpoint": "checkpoints", "container": "containers", "context": "contexts",
		"image": "images", "network": "networks", "volume": "volumes",
	}[name]
}

// unknown is the error for a word that is no verb, with what was perhaps meant.
func unknown(args []string) error {
	word := args[0]
	usage := ""
	prefix := ""
	if len(args) > 1 && slices.Contains(groups(), word) {
		prefix = word + " "
		usage = "\n\nUsage:  hull " + word
		word = args[1]
	}
	var near []string
	for _, v := range append(verbs(), groupVerbs()...) {
		rest, ok := strings.CutPrefix(v.name, prefix)
		if !ok || strings.Contains(rest, " ") || slices.Contains(near, rest) {
			continue
		}
		if len(word) > 1 && (distance(word, rest) <= 1+len(word)/5 || strings.HasPrefix(rest, word)) {
			near = append(near, rest)
		}
	}
	hint := ""
	if len(near) > 0 {
		slices.Sort(near)
		hint = "\n\nDid you mean this?\n\t" + strings.Join(near, "\n\t")
	}
	of := strings.TrimSuffix("hull "+prefix, " ")
	return fmt.Errorf("hull: unknown command: %s %s%s%s\n\nRun '%s --help' for more information", of, word, hint, usage, of)
}

// groupVerbs are the groups as verbs, for help and hints.
func groupVerbs() []verb {
	var all []verb
	for _, g := range groups() {
		all = append(all, verb{name: g, help: groupHelp(g)})
	}
	return all
}

// distance is the number of letters to add, drop or change between two words, a swap of
// neighbours being one; words of more than 32 bytes are far from all.
func distance(a, b string) int {
	if len(a) > 32 || len(b) > 32 {
		return 33
	}
	var rows [34][34]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j], rows[i][j-1], rows[i-1][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], 1+rows[i-2][j-2])
			}
		}
	}
	return rows[len(a)][len(b)]
}

// help lists the verbs whose names begin with prefix; without one, the groups and the options
// of all verbs, too.
func (a *App) help(prefix string, o *options) {
	if prefix != "" {
		fmt.Fprintf(a.Out, "\nUsage:  hull %sCOMMAND\n\n%s\n\nCommands:\n", prefix, groupHelp(strings.TrimSpace(prefix)))
		a.listVerbs(verbs(), prefix)
		fmt.Fprintf(a.Out, "\nRun 'hull %sCOMMAND --help' for more information on a command.\n", prefix)
		return
	}
	fmt.Fprint(a.Out, "Usage:  hull [OPTIONS] COMMAND\n\nContainers and their images\n\nManagement Commands:\n")
	a.listVerbs(groupVerbs(), "")
	fmt.Fprint(a.Out, "\nCommands:\n")
	a.listVerbs(verbs(), "")
	fmt.Fprint(a.Out, "\nGlobal Options:")
	a.listOptions(o)
	fmt.Fprint(a.Out, "\nRun 'hull COMMAND --help' for more information on a command.\n")
}

func (a *App) listVerbs(all []verb, prefix string) {
	all = slices.DeleteFunc(all, func(v verb) bool {
		rest, ok := strings.CutPrefix(v.name, prefix)
		return !ok || strings.Contains(rest, " ") || v.help == ""
	})
	slices.SortFunc(all, func(a, b verb) int { return strings.Compare(a.name, b.name) })
	for _, v := range all {
		fmt.Fprintf(a.Out, "  %-11s %s\n", strings.TrimPrefix(v.name, prefix), v.help)
	}
}
