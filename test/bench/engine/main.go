// Command engine measures container engines side by side: hulld with hull, and Debian's dockerd and
// podman, in what a user does with containers all day.
//
// A case is one thing that users wait for (run, exec, stop, …). A round runs each case once for each
// engine, in an order that changes from round to round, so that what disturbs one disturbs all. A sample
// is the wall time of the client's command. The rows named "API" are hulld alone, asked by a
// client that is connected already: what is left of a row above it is the command line's program.
// Memory is the proportional set of everything that an engine runs besides the containers, with
// none and with many. Goals are those of DESIGN.md, section 10, and are meant for a quiet machine: on a
// busy one look at the minimum and at the ratio to the better of the others.
//
//	go run ./test/bench/engine -bin bin
//	go run ./test/bench/engine -short -case '^exec'
//	go run ./test/bench/engine -o table.md
//
// A signal (INT, TERM) ends the rounds, and the table has what there is by then.
//
// All of it happens in private mount and network namespaces, each engine has a new ext4 of its own on a loop
// device (an ext4 that has just deleted many files makes new ones ten times slower), and nothing stays. Root is
// needed, and busybox-static for the image.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

// inside is set in the environment of the second self, which runs in the namespaces.
const inside = "HULL_BENCH_INSIDE"

type options struct {
	bin    string
	rounds int
	many   int // containers of the rows with many
	cases  *regexp.Regexp
	output string
	only   *regexp.Regexp
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "`directory` of hull, hulld and keel")
	flag.IntVar(&o.rounds, "rounds", 30, "samples of each case and engine")
	flag.IntVar(&o.many, "many", 100, "containers of the rows that have many")
	short := flag.Bool("short", false, "few rounds: a quick look, not a result")
	cases := flag.String("case", "", "run only the cases that match this regular `expression`")
	only := flag.String("engine", "", "run only the engines that match this regular `expression`")
	flag.StringVar(&o.output, "o", "", "also write the table as markdown to this `file`")
	flag.Parse()
	if *short {
		o.rounds = min(o.rounds, 8)
	}
	err := func() (err error) {
		if o.cases, err = regexp.Compile(*cases); err != nil {
			return fmt.Errorf("-case: %w", err)
		}
		if o.only, err = regexp.Compile(*only); err != nil {
			return fmt.Errorf("-engine: %w", err)
		}
		if os.Geteuid() != 0 {
			return fmt.Errorf("containers need root")
		}
		if os.Getenv(inside) == "" {
			return enter()
		}
		if o.bin, err = filepath.Abs(o.bin); err != nil {
			return err
		}
		return measure(o)
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// enter runs this program again in namespaces of its own: bridges, rules and mounts end with it.
func enter() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("measuring in private namespaces: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it cleans up, and prints what it has
		}
	}()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("measuring in private namespaces: %w", err)
	}
	return nil
}

// measure starts the engines, runs all rounds, prints the table.
func measure(o options) (err error) {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer func() {
		if e := b.close(); err == nil {
			err = e
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := b.runAll(ctx); err != nil {
		return err
	}
	t := b.table()
	foot := fmt.Sprintf("\n%d rounds, %d containers; %s\n", o.rounds, o.many, host())
	fmt.Print(t.plain(), foot)
	if o.output != "" {
		return os.WriteFile(o.output, []byte(t.markdown()+foot), 0o644)
	}
	return nil
}
