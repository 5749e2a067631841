package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// options is a command line in the manner of GNU's getopt_long: -aq, -f VALUE, -fVALUE,
// --name VALUE, --name=VALUE, in any order with arguments, "--" ends them. Messages are those
// of Docker's flag parser.
type options struct{ all []*option }

// option is one flag. help is the text of --help and of shell completion; flags without one are
// not listed there.
type option struct {
	name    string
	short   byte
	kind    string // how help names the value; "" of a switch
	help    string
	def     string // as help shows it
	set     func(string) error
	changed bool
}

// helpWanted ends a verb whose options say --help; main prints the usage.
type helpWanted struct{ o *options }

func (helpWanted) Error() string { return "help" }

func newOptions() *options { return &options{} }

// value declares an option of any kind; set gets the text of each occurrence.
func (o *options) value(name string, short byte, kind, help string, set func(string) error) *option {
	opt := &option{name: name, short: short, kind: kind, help: help, set: set}
	o.all = append(o.all, opt)
	return opt
}

func (o *options) flag(name string, short byte, help ...string) *bool {
	return o.boolean(name, short, false, strings.Join(help, ""))
}

func (o *options) boolean(name string, short byte, def bool, help string) *bool {
	opt := o.value(name, short, "", help, func(s string) (err error) {
		def, err = strconv.ParseBool(s)
		return err
	})
	if def {
		opt.def = "true"
	}
	return &def
}

func (o *options) text(name string, short byte, def string, help ...string) *string {
	opt := o.value(name, short, "string", strings.Join(help, ""), func(s string) error {
		def = s
		return nil
	})
	if def != "" {
		opt.def = strconv.Quote(def)
	}
	return &def
}

func (o *options) list(name string, short byte, help ...string) *[]string {
	v := new([]string)
	o.value(name, short, "list", strings.Join(help, ""), func(s string) error {
		*v = append(*v, s)
		return nil
	})
	return v
}

// checked is a list whose values a function accepts or rewrites.
func (o *options) checked(name string, short byte, help string, check func(string) (string, error)) *[]string {
	v := new([]string)
	o.value(name, short, "list", help, func(s string) error {
		s, err := check(s)
		if err == nil {
			*v = append(*v, s)
		}
		return err
	})
	return v
}

// filter is a list of KEY=VALUE filters.
func (o *options) filter(short byte, help string) *[]string {
	v := new([]string)
	o.value("filter", short, "filter", help, func(s string) error {
		if s == "" {
			return nil
		}
		k, val, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("bad format of filter (expected name=value)")
		}
		*v = append(*v, strings.ToLower(strings.TrimSpace(k))+"="+strings.TrimSpace(val))
		return nil
	})
	return v
}

// pairs is a map of KEY=VALUE.
func (o *options) pairs(name string, short byte, help string, check func(string) error) map[string]string {
	v := make(map[string]string)
	o.value(name, short, "map", help, func(s string) error {
		if check != nil {
			if err := check(s); err != nil {
				return err
			}
		}
		k, val, _ := strings.Cut(s, "=")
		v[k] = val
		return nil
	})
	return v
}

// number is an integer of the given kind ("int", "int64", "uint16", "uint64").
func (o *options) number(name string, short byte, kind string, def int64, help string) *int64 {
	opt := o.value(name, short, kind, help, func(s string) error {
		n, err := parseNumber(s, kind)
		def = n
		return err
	})
	if def != 0 {
		opt.def = strconv.FormatInt(def, 10)
	}
	return &def
}

func parseNumber(s, kind string) (int64, error) {
	switch kind {
	case "uint16":
		n, err := strconv.ParseUint(s, 0, 16)
		return int64(n), err
	case "uint64":
		n, err := strconv.ParseUint(s, 0, 64)
		return int64(n), err
	}
	return strconv.ParseInt(s, 0, 64)
}

// bytes is a number of bytes as in 128m. With unlimited, -1 is one, too.
func (o *options) bytes(name string, short byte, unlimited bool, help string) *int64 {
	v := new(int64)
	o.value(name, short, "bytes", help, func(s string) (err error) {
		if unlimited && s == "-1" {
			*v = -1
			return nil
		}
		*v, err = units.RAMInBytes(s)
		return err
	})
	return v
}

func (o *options) duration(name string, short byte, help string) *time.Duration {
	v := new(time.Duration)
	o.value(name, short, "duration", help, func(s string) (err error) {
		*v, err = time.ParseDuration(s)
		return err
	})
	return v
}

// alias is a second, hidden name of the last option.
func (o *options) alias(name string) {
	last := *o.all[len(o.all)-1]
	last.name, last.short, last.help = name, 0, ""
	o.all = append(o.all, &last)
}

// changed says whether the command line has the option.
func (o *options) changed(name string) bool {
	for _, opt := range o.all {
		if opt.name == name {
			return opt.changed
		}
	}
	return false
}

// parse sets the options and returns the arguments. With first, options end at the first
// argument.
func (o *options) parse(args []string, first bool) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		next := func() (string, bool) {
			if i+1 >= len(args) {
				return "", false
			}
			i++
			return args[i], true
		}
		switch {
		case arg == "--":
			return append(rest, args[i+1:]...), nil
		case strings.HasPrefix(arg, "--"):
			err = o.long(arg[2:], next)
		case len(arg) > 1 && arg[0] == '-':
			err = o.shorts(arg[1:], next)
		case first:
			return args[i:], nil
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (o *options) long(arg string, next func() (string, bool)) error {
	name, value, has := strings.Cut(arg, "=")
	if name == "" || name[0] == '-' {
		return misused("bad flag syntax: --%s", arg)
	}
	for _, opt := range o.all {
		if opt.name != name {
			continue
		}
		if !has && opt.kind == "" {
			value, has = "true", true
		}
		if !has {
			if value, has = next(); !has {
				return misused("flag needs an argument: --%s", name)
			}
		}
		return opt.take(value)
	}
	if name == "help" {
		return helpWanted{o}
	}
	return misused("unknown flag: --%s", name)
}

func (o *options) shorts(arg string, next func() (string, bool)) error {
	for i := range len(arg) {
		opt := o.short(arg[i])
		rest := arg[i+1:]
		value, has := strings.CutPrefix(rest, "=")
		switch {
		case opt == nil && arg[i] == 'h':
			return helpWanted{o}
		case opt == nil:
			return misused("unknown shorthand flag: %q in -%s", arg[i], arg)
		case opt.kind == "" && !has:
			if err := opt.take("true"); err != nil {
				return err
			}
			continue
		case !has && rest != "":
			value = rest
		case !has:
			if value, has = next(); !has {
				return misused("flag needs an argument: %q in -%s", arg[i], arg)
			}
		}
		return opt.take(value)
	}
	return nil
}

func (o *options) short(c byte) *option {
	for _, opt := range o.all {
		if opt.short == c && c != 0 {
			return opt
		}
	}
	return nil
}

// take sets an option from the command line.
func (o *option) take(value string) error {
	err := o.set(value)
	if err == nil {
		o.changed = true
		return nil
	}
	name := "--" + o.name
	if o.short != 0 {
		name = fmt.Sprintf("-%c, --%s", o.short, o.name)
	}
	return misused("invalid argument %q for %q flag: %v", value, name, err)
}
