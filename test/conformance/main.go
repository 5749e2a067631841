// Command conformance runs the OCI runtime validation programs of runtime-tools with one
// runtime and compares the outcome with what runc did.
//
// Terms: a program is one of runtime-tools' validation/* binaries; it prints TAP, a list of
// points that are ok, not ok, or skipped. A program passes when it exits with 0, its plan
// matches its points, and no point is not ok. The baseline (baseline-runc.tsv) is the
// outcome of the same runner with Debian's runc on the same kind of machine; an exception
// (exceptions.tsv) is a program that may fail although runc passes it, with the reason.
//
//	go run ./test/conformance -runtime bin/keel            # compare, exit 1 on a regression
//	go run ./test/conformance -runtime runc -update-baseline
//	go run ./test/conformance -runtime bin/keel -run 'hooks|kill' -v
//
// The programs are built from the module in runtimetools/ (its go.mod pins the version, its
// go.sum the bytes, so the suite stays out of the main go.mod) into .cache/runtime-tools.
// Each runs in its own directory, with its own TMPDIR, and reaches the runtime through a
// script that adds --root, so that every container a program forgets can be found and
// deleted. Root is needed.
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
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	runtime        string
	dir            string // test/conformance
	cache          string // where the programs are built
	run            *regexp.Regexp
	timeout        time.Duration
	lanes          int
	updateBaseline bool
	verbose        bool
	output         string
}

func main() {
	var o options
	var run string
	flag.StringVar(&o.runtime, "runtime", "bin/keel", "the OCI `program` to test: a path or a name in PATH")
	flag.StringVar(&o.dir, "dir", "test/conformance", "`directory` of this suite")
	flag.StringVar(&o.cache, "cache", ".cache/runtime-tools", "`directory` for the built programs")
	flag.StringVar(&run, "run", "", "run only the programs that match this regular expression")
	flag.DurationVar(&o.timeout, "timeout", 60*time.Second, "longest time for one program")
	flag.IntVar(&o.lanes, "lanes", 4, "programs at a time (they mostly sleep); those that share a cgroup path run one after another")
	flag.BoolVar(&o.updateBaseline, "update-baseline", false, "write the outcome to baseline-runc.tsv instead of comparing")
	flag.BoolVar(&o.verbose, "v", false, "show the output of programs that fail")
	flag.StringVar(&o.output, "o", "", "also write the table as markdown to this `file`")
	flag.Parse()
	var err error
	if o.run, err = regexp.Compile(run); err != nil {
		fmt.Fprintf(os.Stderr, "conformance: -run: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := conform(ctx, o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "conformance: %v\n", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// conform does the whole run and says whether the runtime did as well as the baseline.
func conform(ctx context.Context, o options) (bool, error) {
	if os.Geteuid() != 0 {
		return false, fmt.Errorf("the validation programs need root")
	}
	runtimePath, err := exec.LookPath(o.runtime)
	if err != nil {
		return false, fmt.Errorf("finding the runtime: %w", err)
	}
	if runtimePath, err = filepath.Abs(runtimePath); err != nil {
		return false, fmt.Errorf("finding the runtime: %w", err)
	}
	programs, err := build(ctx, o)
	if err != nil {
		return false, err
	}
	s, err := newSuite(o, runtimePath)
	if err != nil {
		return false, err
	}
	defer s.close()
	results := s.runAll(ctx, programs)
	if ctx.Err() != nil {
		return false, fmt.Errorf("interrupted")
	}

	if o.verbose {
		for _, r := range results {
			if r.verdict == "fail" {
				fmt.Printf("--- %s\n%s\n", r.name, failures(r.output))
			}
		}
	}

	baselineFile := filepath.Join(o.dir, "baseline-runc.tsv")
	if o.updateBaseline {
		fmt.Print(table(results, nil, nil))
		return true, writeBaseline(ctx, baselineFile, runtimePath, results)
	}
	baseline, err := readBaseline(baselineFile)
	if err != nil {
		return false, err
	}
	exceptions, err := readExceptions(filepath.Join(o.dir, "exceptions.tsv"))
	if err != nil {
		return false, err
	}
	text := table(results, baseline, exceptions)
	fmt.Print(text)
	if o.output != "" {
		if err := os.WriteFile(o.output, []byte("```\n"+text+"```\n"), 0o644); err != nil {
			return false, err
		}
	}
	problems := compare(results, baseline, exceptions, o.run.String() == "")
	for _, p := range problems {
		fmt.Println("conformance:", p)
	}
	passed, failed, skipped := count(results)
	fmt.Printf("\n%s: %d passed, %d failed, %d skipped; the baseline asks for no less than runc\n", filepath.Base(runtimePath), passed, failed, skipped)
	// The closing line that CI reads: a program that the baseline does not ask for is no failure.
	fmt.Printf("conformance: %d passed, %d failed, %d skipped\n", passed, len(problems), skipped+failed-min(failed, len(problems)))
	return len(problems) == 0, nil
}

// failures keeps of a program's output what tells why it failed: points that are not ok, and
// what is not TAP at all, with the diagnostics that follow; points that are ok go.
func failures(output string) string {
	var b strings.Builder
	keep := true
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, " ") {
			keep = !strings.HasPrefix(line, "ok ")
		}
		if keep {
			b.WriteString(line)
		}
	}
	return b.String()
}

// build makes the programs and runtimetest and returns the programs' names.
func build(ctx context.Context, o options) ([]string, error) {
	bin, err := filepath.Abs(filepath.Join(o.cache, "bin"))
	if err != nil {
		return nil, err
	}
	module := filepath.Join(o.dir, "runtimetools")
	goCmd := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("go %s in %s: %w", strings.Join(args, " "), module, err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	if _, err := goCmd("build", "-trimpath", "-ldflags=-s -w", "-o", bin+"/", "tool"); err != nil {
		return nil, err
	}
	src, err := goCmd("list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-tools")
	if err != nil {
		return nil, err
	}
	for _, arch := range []string{"amd64", "386"} {
		name := "rootfs-" + arch + ".tar.gz"
		data, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return nil, fmt.Errorf("reading the suite's root file system: %w", err)
		}
		if err := os.WriteFile(filepath.Join(bin, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(filepath.Join(src, "validation"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "util" && o.run.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no program matches -run %q", o.run)
	}
	return names, nil
}
