// Command runtime measures OCI runtimes side by side: keel, crun and runc, interleaved in one
// run on one machine, so that what disturbs one disturbs all.
//
// A case is one thing users wait for (run with a new network namespace, exec, …). A round runs
// each case once for each runtime, in an order that changes from round to round. A sample is
// the wall time from the start of the first command to the end of the last, and the user
// and system CPU time of the runtime's processes and those they waited for (wait4's rusage).
// The largest resident set among them is measured in rounds of its own. Goals are ratios to crun's median (DESIGN.md,
// section 10).
//
//	go run ./test/bench/runtime -keel bin/keel            # the whole table
//	go run ./test/bench/runtime -short -case exec
//	go run ./test/bench/runtime -o table.md
//
// All of it happens in a private mount namespace without /sys/fs/cgroup/unified, the same for
// each runtime: crun 1.8 refuses hosts that mount both cgroup versions. Root is needed. The
// row "floor" is a C program (testdata/floor.c) that does the kernel's part of the first case
// and nothing else; it needs gcc.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// inside is set in the environment of the second self, which runs in the mount namespace.
const inside = "HULL_BENCH_INSIDE"

type options struct {
	programs   []program
	rounds     int
	containers int
	reps       int
	cases      *regexp.Regexp
	output     string
	testdata   string
}

// program is one runtime under test.
type program struct {
	name, path string
}

func main() {
	var o options
	keel := flag.String("keel", "bin/keel", "`path` of keel; empty: leave it out")
	crun := flag.String("crun", "crun", "`path` of crun; empty: leave it out")
	runc := flag.String("runc", "runc", "`path` of runc; empty: leave it out")
	short := flag.Bool("short", false, "few rounds: a quick look, not a result")
	cases := flag.String("case", "", "run only the cases that match this regular `expression`")
	flag.IntVar(&o.rounds, "rounds", 60, "samples of each case and runtime")
	flag.IntVar(&o.containers, "containers", 200, "containers of one throughput sample")
	flag.IntVar(&o.reps, "reps", 3, "throughput samples")
	flag.StringVar(&o.output, "o", "", "also write the table as markdown to this `file`")
	flag.StringVar(&o.testdata, "testdata", "test/bench/testdata", "`directory` of the config.json files")
	flag.Parse()
	if *short {
		o.rounds, o.containers, o.reps = min(o.rounds, 12), min(o.containers, 40), 1
	}
	err := func() error {
		var err error
		if o.cases, err = regexp.Compile(*cases); err != nil {
			return fmt.Errorf("-case: %w", err)
		}
		if os.Geteuid() != 0 {
			return fmt.Errorf("namespaces and cgroups need root")
		}
		if os.Getenv(inside) == "" {
			return enter()
		}
		for _, p := range []program{{"keel", *keel}, {"crun", *crun}, {"runc", *runc}} {
			if p.path == "" {
				continue
			}
			path, err := exec.LookPath(p.path)
			if err == nil {
				p.path, err = filepath.Abs(path)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s is left out: %v\n", p.name, err)
				continue
			}
			o.programs = append(o.programs, p)
		}
		return measure(o)
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// enter runs this program again in a private mount namespace.
func enter() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running in a private mount namespace: %w", err)
	}
	return nil
}

// measure prepares bundles, runs all rounds, prints the table.
func measure(o options) error {
	if len(o.programs) == 0 {
		return fmt.Errorf("no runtime to measure")
	}
	if _, err := os.Stat("/sys/fs/cgroup/unified/cgroup.procs"); err == nil {
		if err := syscall.Unmount("/sys/fs/cgroup/unified", syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("hiding the v2 hierarchy: %w", err)
		}
	}
	// Containers that a runtime leaves to us (create) become our children, to be waited for.
	if err := subreaper(); err != nil {
		return err
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	start := time.Now()
	if err := b.runAll(); err != nil {
		return err
	}
	t := b.table()
	fmt.Print(t.plain())
	fmt.Printf("\n%d rounds, %d × %d containers, %v; %s\n", o.rounds, o.reps, o.containers, time.Since(start).Round(time.Second), host())
	if o.output != "" {
		text := t.markdown() + fmt.Sprintf("\n%d rounds, %d × %d containers; %s\n", o.rounds, o.reps, o.containers, host())
		if err := os.WriteFile(o.output, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// host describes the machine in a line.
func host() string {
	var u syscall.Utsname
	_ = syscall.Uname(&u)
	var release strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	model := ""
	for line := range strings.Lines(string(cpus)) {
		if rest, ok := strings.CutPrefix(line, "model name"); ok {
			model = strings.TrimLeft(strings.TrimSpace(rest), ": ")
			break
		}
	}
	return fmt.Sprintf("Linux %s, %d × %s", release.String(), strings.Count(string(cpus), "processor\t"), model)
}
