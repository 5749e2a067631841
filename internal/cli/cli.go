package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// App is one run of the program.
type App struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	Version  string
	Commit   string

	client *client
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

// verbs lists all commands; aliases are rows of their own.
func verbs() []verb {
	return []verb{
		{"pull", "[-a] [-q] [--platform P] NAME[:TAG|@DIGEST]", "get an image from a registry", (*App).pull},
		{"push", "[-a] [-q] [--platform P] NAME[:TAG]", "send an image to a registry", (*App).push},
		{"images", "[-a] [-q] [--digests] [--no-trunc] [-f FILTER] [--format F] [REPOSITORY[:TAG]]", "list images", (*App).imageList},
		{"tag", "SOURCE TARGET", "give an image one more name", (*App).imageTag},
		{"rmi", "[-f] IMAGE...", "remove images", (*App).imageRemove},
		{"history", "[-q] [--no-trunc] [-H] [--format F] IMAGE", "show how an image came to be", (*App).imageHistory},
		{"inspect", "[-f FORMAT] IMAGE...", "show everything about images", (*App).imageInspect},
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
		{"events", "[--since T] [--until T] [-f FILTER] [--format F]", "show what happens, as it happens", (*App).events},
		{"system events", "", "show what happens (as events)", (*App).events},
		{"system df", "[-v] [--format F]", "show what takes disk space", (*App).systemDF},
		{"system fsck", "[--repair]", "compare the store with the disk", (*App).systemFsck},
		{"system info", "[-f FORMAT]", "show facts about hulld (as info)", (*App).info},
		{"info", "[-f FORMAT]", "show facts about hulld", (*App).info},
		{"version", "[-f FORMAT]", "show versions", (*App).version},
	}
}

// Main runs a command line (without the program's name) and returns the exit status.
func (a *App) Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := a.main(ctx, args)
	var exit exitError
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(a.Err, "hull: %v\n", err)
		return 125
	case ctx.Err() != nil:
		return 130
	}
	fmt.Fprintln(a.Err, err)
	return 1
}

func (a *App) main(ctx context.Context, args []string) error {
	o := newOptions()
	host := o.text("host", 'H', a.Env("HULL_HOST"))
	version := o.flag("version", 'v')
	help := o.flag("help", 'h')
	args, err := o.parse(args, true)
	if err != nil {
		return err
	}
	a.client = newClient(*host, a.Err)
	switch {
	case *version:
		fmt.Fprintf(a.Out, "Hull version %s, commit %s\n", a.Version, a.Commit)
		return nil
	case *help || len(args) == 0 || args[0] == "help":
		a.help("")
		return nil
	}
	all := verbs()
	for _, n := range []int{2, 1} {
		if len(args) < n {
			continue
		}
		name := strings.Join(args[:n], " ")
		if i := slices.IndexFunc(all, func(v verb) bool { return v.name == name }); i >= 0 {
			if slices.Contains(args[n:], "--help") {
				fmt.Fprintf(a.Out, "usage: hull %s %s\n%s\n", all[i].name, all[i].args, all[i].help)
				return nil
			}
			return all[i].run(a, ctx, args[n:])
		}
	}
	if args[0] == "image" || args[0] == "system" {
		a.help(args[0] + " ")
		if len(args) == 1 || args[1] == "--help" {
			return nil
		}
	}
	return misused("%q is not a hull command; see 'hull --help'", strings.Join(args[:min(2, len(args))], " "))
}

// help lists the verbs that begin with prefix.
func (a *App) help(prefix string) {
	fmt.Fprintf(a.Out, "usage: hull [-H unix:///PATH] COMMAND\n\n")
	for _, v := range verbs() {
		if strings.HasPrefix(v.name, prefix) && v.help != "" {
			fmt.Fprintf(a.Out, "  %-16s %s\n", v.name, v.help)
		}
	}
}
