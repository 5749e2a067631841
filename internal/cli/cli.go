package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// App is one run of the program.
type App struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	Version  string
	Commit   string

	client *client
	verb   *verb // the one that runs
	config *clientConfig
	given  *globals // options before the verb
}

// verb is a command.
type verb struct {
	name string // "image ls"
	args string // of the usage line
	help string
	run  func(a *App, ctx context.Context, args []string) error
}

// usageError is a wrong command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func misused(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitError ends the program with a status; everything was said already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// statusError ends the program with a status and, if it has one, a text on standard error.
type statusError struct {
	status int
	text   string
}

func (e statusError) Error() string { return e.text }

// verbs lists all commands; aliases are rows of their own.
func verbs() []verb {
	return slices.Concat(containerVerbs(), volumeVerbs(), networkVerbs(), contextVerbs(), checkpointVerbs(), systemVerbs(), imageVerbs(), buildVerbs())
}

func imageVerbs() []verb {
	return []verb{
		{"pull", "[-a] [-q] [--platform P] NAME[:TAG|@DIGEST]", "get an image from a registry", (*App).pull},
		{"push", "[-a] [-q] [--platform P] NAME[:TAG]", "send an image to a registry", (*App).push},
		{"images", "[-a] [-q] [--digests] [--no-trunc] [-f FILTER] [--format F] [REPOSITORY[:TAG]]", "list images", (*App).imageList},
		{"tag", "SOURCE TARGET", "give an image one more name", (*App).imageTag},
		{"rmi", "[-f] IMAGE...", "remove images", (*App).imageRemove},
		{"history", "[-q] [--no-trunc] [-H] [--format F] IMAGE", "show how an image came to be", (*App).imageHistory},
		{"save", "[-o FILE] [--platform P] IMAGE...", "write images to an archive", (*App).imageSave},
		{"load", "[-i FILE] [-q]", "read images from an archive", (*App).imageLoad},
		{"import", "[-c CHANGE] [-m MESSAGE] [--platform P] FILE|- [REPOSITORY[:TAG]]", "make an image of a root file system", (*App).imageImport},
		{"image ls", "", "list images (as images)", (*App).imageList},
		{"image list", "", "list images (as images)", (*App).imageList},
		{"image pull", "", "get an image (as pull)", (*App).pull},
		{"image push", "", "send an image (as push)", (*App).push},
		{"image inspect", "[-f FORMAT] IMAGE...", "show everything about images", (*App).imageInspect},
		{"image history", "", "show how an image came to be (as history)", (*App).imageHistory},
		{"image tag", "SOURCE TARGET", "give an image one more name", (*App).imageTag},
		{"image rm", "[-f] IMAGE...", "remove images (as rmi)", (*App).imageRemove},
		{"image remove", "[-f] IMAGE...", "remove images (as rmi)", (*App).imageRemove},
		{"image prune", "[-a] [-f] [--filter FILTER]", "remove images without a name, or all", (*App).imagePrune},
		{"image save", "", "write images to an archive (as save)", (*App).imageSave},
		{"image load", "", "read images from an archive (as load)", (*App).imageLoad},
		{"image import", "", "make an image of a root file system (as import)", (*App).imageImport},
		{"search", "TERM", "refused: registries have no search", (*App).search},
		{"completion", "bash|zsh|fish", "print a script for the shell that completes hull's words", (*App).completion},
		{"__complete", "", "", (*App).complete},
		{"login", "[-u USER] [-p PASSWORD | --password-stdin] [SERVER]", "log in to a registry", (*App).login},
		{"logout", "[SERVER]", "forget a registry's credentials", (*App).logout},
	}
}

// Main runs a command line (without the program's name) and returns the exit status.
func (a *App) Main(args []string) int {
	ctx, stop := interruptible()
	defer stop()
	err := a.main(ctx, args)
	var exit exitError
	var status statusError
	var usage usageError
	var argument argumentError
	var wanted helpWanted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wanted):
		a.usage(a.verb, wanted.o)
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &status):
		if status.text != "" {
			fmt.Fprintln(a.Err, status.text)
		}
		return status.status
	case errors.As(err, &argument):
		a.sayUsage("hull: "+argument.text, argument.see)
		return 1
	case errors.As(err, &usage):
		a.sayUsage(usage.text, "Run")
		return 125
	case ctx.Err() != nil:
		return signalStatus(ctx)
	}
	fmt.Fprintln(a.Err, err)
	return 1
}

// sayUsage prints a message about a wrong command line.
func (a *App) sayUsage(text, see string) {
	line, of := "hull [OPTIONS] COMMAND [ARG...]", "hull"
	if a.verb != nil {
		line, of = a.verb.usageLine(), "hull "+a.verb.name
	}
	fmt.Fprintf(a.Err, "%s\n\nUsage:  %s\n\n%s '%s --help' for more information\n", text, line, see, of)
}

func (a *App) main(ctx context.Context, args []string) error {
	o, global := a.globals()
	args, err := o.parse(args, true)
	if errors.As(err, &helpWanted{}) || err == nil && len(args) == 0 && !*global.version {
		a.help("", o)
		return nil
	}
	if err != nil {
		return err
	}
	if *global.version {
		fmt.Fprintf(a.Out, "Hull version %s, commit %s\n", a.Version, a.Commit)
		return nil
	}
	if args[0] == "help" {
		if len(args) == 1 {
			a.help("", o)
			return nil
		}
		args = append(args[1:], "--help")
	}
	a.given = global
	if err := a.connectTo(global, args[0] == "context"); err != nil {
		return err
	}
	all := verbs()
	for _, n := range []int{2, 1} {
		if len(args) < n {
			continue
		}
		name := strings.Join(args[:n], " ")
		if i := slices.IndexFunc(all, func(v verb) bool { return v.name == name }); i >= 0 {
			a.verb = &all[i]
			return all[i].run(a, ctx, args[n:])
		}
	}
	if slices.Contains(groups(), args[0]) && (len(args) == 1 || args[1] == "--help" || args[1] == "-h") {
		a.help(args[0]+" ", nil)
		return nil
	}
	return unknown(args)
}
