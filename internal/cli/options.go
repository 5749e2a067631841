package cli

import "strings"

// options is a command line in the manner of GNU's getopt_long: -aq, -f VALUE, -fVALUE,
// --name VALUE, --name=VALUE, in any order with arguments, "--" ends them.
type options struct{ all []*option }

// help is the text of shell completion; flags without one are not offered.
type option struct {
	name  string
	help  string
	short byte
	bool  *bool
	text  *string
	list  *[]string
}

// helpWanted ends a verb whose options say --help.
type helpWanted struct{ o *options }

func (helpWanted) Error() string { return "help" }

func newOptions() *options { return &options{} }

func (o *options) flag(name string, short byte, help ...string) *bool {
	v := new(bool)
	o.all = append(o.all, &option{name: name, short: short, help: strings.Join(help, ""), bool: v})
	return v
}

func (o *options) text(name string, short byte, def string, help ...string) *string {
	o.all = append(o.all, &option{name: name, short: short, help: strings.Join(help, ""), text: &def})
	return &def
}

func (o *options) list(name string, short byte, help ...string) *[]string {
	v := new([]string)
	o.all = append(o.all, &option{name: name, short: short, help: strings.Join(help, ""), list: v})
	return v
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
	for _, opt := range o.all {
		if opt.name != name {
			continue
		}
		if opt.bool != nil {
			switch value {
			case "true", "1":
				*opt.bool = true
			case "false", "0":
				*opt.bool = false
			default:
				if has {
					return misused("--%s is true or false, not %q", name, value)
				}
				*opt.bool = true
			}
			return nil
		}
		if !has {
			if value, has = next(); !has {
				return misused("flag needs an argument: --%s", name)
			}
		}
		opt.set(value)
		return nil
	}
	if name == "help" {
		return helpWanted{o}
	}
	return misused("unknown flag: --%s", name)
}

func (o *options) shorts(arg string, next func() (string, bool)) error {
	for i := range len(arg) {
		opt := o.short(arg[i])
		switch {
		case opt == nil:
			return misused("unknown shorthand flag: %q in -%s", arg[i], arg)
		case opt.bool != nil:
			*opt.bool = true
			continue
		}
		value, has := strings.TrimPrefix(arg[i+1:], "="), i+1 < len(arg)
		if !has {
			if value, has = next(); !has {
				return misused("flag needs an argument: -%c", arg[i])
			}
		}
		opt.set(value)
		return nil
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

func (o *option) set(value string) {
	if o.list != nil {
		*o.list = append(*o.list, value)
		return
	}
	*o.text = value
}
