package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scripts for shells. They hand the line up to the cursor to "hull __complete", which prints a candidate a
// line, with a tab and a description for shells that show one. No candidates: the shell offers files.
const (
	bashScript = `_hull() {
    local line="${COMP_LINE:0:COMP_POINT}" cur="${COMP_WORDS[COMP_CWORD]}" word candidate
    word="${line##* }"
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        # bash takes ':' and '=' for ends of words: what is before them stays as it is.
        COMPREPLY+=("${candidate#"${word%"$cur"}"}")
    done < <(hull __complete "$line" 2>/dev/null)
}
complete -o default -F _hull hull
`
	zshScript = `#compdef hull
_hull() {
    local -a candidates
    local line
    while IFS=$'\t' read -r name text; do
        candidates+=("${name//:/\\:}${text:+:$text}")
    done < <(hull __complete "$LBUFFER" 2>/dev/null)
    if (( ${#candidates} )); then _describe 'hull' candidates; else _files; fi
}
compdef _hull hull
`
	fishScript = `complete -c hull -e
complete -c hull -a '(hull __complete (commandline -cp) 2>/dev/null)'
`
)

func (a *App) completion(_ context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	scripts := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	if len(args) != 1 || scripts[args[0]] == "" {
		return misused("completion takes one of bash, zsh, fish")
	}
	_, err = fmt.Fprint(a.Out, scripts[args[0]])
	return err
}

// completeTime is how long a person waits for names from hulld.
const completeTime = 500 * time.Millisecond

// complete prints the candidates for the last word of a line.
func (a *App) complete(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return misused("__complete takes a line")
	}
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	words := strings.Split(args[0], " ") // names of images have no spaces; of other words only the last counts
	cur := words[len(words)-1]
	words = slices.DeleteFunc(words[1:len(words)-1], func(w string) bool { return w == "" })
	for _, c := range a.candidates(ctx, words, cur) {
		if strings.HasPrefix(c, cur) {
			fmt.Fprintln(a.Out, c)
		}
	}
	return nil
}

// candidates are whole words, some with a tab and a description.
func (a *App) candidates(ctx context.Context, words []string, cur string) []string {
	all := verbs()
	for _, n := range []int{2, 1} {
		if len(words) < n {
			continue
		}
		name := strings.Join(words[:n], " ")
		if i := slices.IndexFunc(all, func(v verb) bool { return v.name == name }); i >= 0 {
			return a.verbCandidates(ctx, &all[i], words[n:], cur)
		}
	}
	prefix := ""
	switch len(words) {
	case 0:
	case 1:
		prefix = words[0] + " "
	default:
		return nil
	}
	var out []string
	for _, v := range all {
		rest, ok := strings.CutPrefix(v.name, prefix)
		if !ok || v.help == "" {
			continue
		}
		word, sub, grouped := strings.Cut(rest, " ")
		text := word + "\t" + v.help
		if grouped && sub != "" {
			text = word + "\tcommands of " + word
		}
		if !slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, word+"\t") }) {
			out = append(out, text)
		}
	}
	return out
}

// verbCandidates are a verb's flags, values of the flag before, or names of what it is about.
func (a *App) verbCandidates(ctx context.Context, v *verb, words []string, cur string) []string {
	if len(words) > 0 {
		if values := flagValues(words[len(words)-1]); values != nil {
			return values
		}
	}
	if strings.HasPrefix(cur, "-") {
		var wanted helpWanted
		if !errors.As(v.run(a, ctx, []string{"--help"}), &wanted) {
			return nil
		}
		var out []string
		for _, o := range wanted.o.all {
			if o.help != "" {
				out = append(out, "--"+o.name+"\t"+o.help)
			}
		}
		return append(out, "--help\tPrint usage")
	}
	return a.names(ctx, v)
}

// flagValues are what a flag takes, as far as that is a list.
func flagValues(flag string) []string {
	switch flag {
	case "--format":
		return []string{"json", "table"}
	case "--platform":
		return []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x"}
	case "--pull", "--restart", "--type":
		return map[string][]string{
			"--pull": {"always", "missing", "never"}, "--restart": {"always", "no", "on-failure", "unless-stopped"},
			"--type": {"container", "image", "network", "volume"},
		}[flag]
	case "--filter":
		return []string{"before=", "dangling=true", "dangling=false", "label=", "reference=", "since=", "until="}
	}
	return nil
}
