package keel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// option is one that a command knows.
type option struct {
	name   string // without dashes
	short  string // one letter, or none
	value  bool   // takes one
	number bool   // which is an integer
	hidden bool   // not in the help text
	usage  string // a word in backquotes names the value
}

// options are those given, by long name; each with its values in order. One without a value
// has "true".
type options map[string][]string

func (o options) has(name string) bool { return len(o[name]) > 0 }

// is tells whether a switch is on; the last one counts.
func (o options) is(name string) bool { return o.has(name) && o.get(name) != "false" }

// get is the last value of an option, "" when it was not given.
func (o options) get(name string) string {
	if v := o[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// count is an option's value as a number from 0 to 2^31-1, 0 when it was not given.
func (o options) count(name string) (int, error) {
	v := o.get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--%s: %q is not a number of 0 or more", name, v)
	}
	return int(n), nil
}

// parse separates options from arguments. With inOrder the first argument ends the options,
// for commands whose arguments are themselves a command line; otherwise options may also
// follow arguments. "--" ends them always.
func parse(known []option, words []string, inOrder bool) (options, []string, error) {
	o := options{}
	var args []string
	for len(words) > 0 {
		w := words[0]
		switch {
		case w == "--":
			return o, append(args, words[1:]...), nil
		case len(w) < 2 || w[0] != '-':
			if inOrder {
				return o, append(args, words...), nil
			}
			args, words = append(args, w), words[1:]
			continue
		}
		words = words[1:]
		name, value, given := strings.Cut(strings.TrimPrefix(w[1:], "-"), "=")
		k, ok := find(known, name)
		if !ok {
			return o, nil, errors.New("flag provided but not defined: -" + name)
		}
		switch {
		case k.value && !given:
			if len(words) == 0 {
				return o, nil, errors.New("flag needs an argument: -" + name)
			}
			value, words = words[0], words[1:]
			given = true
		case !k.value && !given:
			value = "true"
		case !k.value:
			on, err := strconv.ParseBool(value)
			if err != nil {
				return o, nil, fmt.Errorf("invalid boolean value %q for -%s", value, name)
			}
			value = strconv.FormatBool(on)
		}
		if k.number && given {
			if _, err := strconv.ParseInt(value, 10, 64); err != nil {
				return o, nil, fmt.Errorf("invalid value %q for flag -%s: want an integer", value, name)
			}
		}
		o[k.name] = append(o[k.name], value)
	}
	return o, args, nil
}

func find(known []option, name string) (option, bool) {
	for _, k := range known {
		if name != "" && (k.name == name || k.short == name) {
			return k, true
		}
	}
	return option{}, false
}
