// Command image measures what people wait for with images, side by side: hulld, Debian's
// dockerd, podman and containerd (ctr), interleaved in one run on one machine, so that what
// disturbs one disturbs all.
//
// One registry (Debian's docker-registry, on loopback, its data on a tmpfs) serves all of them.
// Each sample has a new ext4 file system on a loop device for the engine's data: ext4 is
// about ten times slower on inodes that were used before. A sample is the wall time of the
// client command, the user and system CPU time of client and daemon, the bytes written to the
// device, and the time of a syncfs(2) after the command: an engine that answers before its data
// is on the disk has that still to come. Goals are ratios of medians to the best peer's.
//
//	go run ./test/bench/image                    # the whole table: half an hour
//	go run ./test/bench/image -quick             # a tenth of the data, one round
//	go run ./test/bench/image -case pull -engine 'hulld|ctr'
//
// Images: debian, made by mmdebstrap, one layer; synthetic, 1 GB in ten layers, half of it
// compressible, one layer with 50,000 small files. Both are there with gzip and with zstd
// layers. They are kept in .cache/bench-image. Root is needed. The engines are found in PATH; one that
// is missing, or that cannot do a case, is left out by name.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// inside is set in the environment of the second self, which runs in the mount namespace.
const inside = "HULL_BENCH_INSIDE"

type options struct {
	bin     string
	rounds  int
	quick   bool
	cases   *regexp.Regexp
	engines *regexp.Regexp
	dir     string
	cache   string
	debian  string
	output  string
	verbose bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "`directory` of hull and hulld")
	flag.IntVar(&o.rounds, "rounds", 0, "samples of each case and engine (default 5, or 1 with -quick)")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the data: a look, not a result")
	cases := flag.String("case", "", "run only the cases that match this regular `expression`")
	engines := flag.String("engine", "", "run only the engines that match this regular `expression`")
	flag.StringVar(&o.dir, "dir", "/var/tmp", "`directory` of the file systems under test")
	flag.StringVar(&o.cache, "cache", ".cache/bench-image", "`directory` of the images that are made once")
	flag.StringVar(&o.debian, "debian", "", "a root `file` system as tar, in place of mmdebstrap's")
	flag.StringVar(&o.output, "o", "", "also write the table as markdown to this `file`")
	flag.BoolVar(&o.verbose, "v", false, "print each sample as it comes")
	flag.Parse()
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 1
		}
	}
	err := func() (err error) {
		if o.cases, err = regexp.Compile(*cases); err != nil {
			return fmt.Errorf("-case: %w", err)
		}
		if o.engines, err = regexp.Compile(*engines); err != nil {
			return fmt.Errorf("-engine: %w", err)
		}
		if os.Geteuid() != 0 {
			return fmt.Errorf("loop devices and mounts need root")
		}
		if os.Getenv(inside) == "" {
			return enter()
		}
		for _, p := range []*string{&o.bin, &o.cache} {
			if *p, err = filepath.Abs(*p); err != nil {
				return err
			}
		}
		return measure(o)
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// enter runs this program again in a private mount namespace: what an engine leaves mounted
// ends with it.
func enter() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running in a private mount namespace: %w", err)
	}
	go func() {
		for s := range stop { // it ends by itself then, and cleans up
			_ = cmd.Process.Signal(s)
		}
	}()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("running in a private mount namespace: %w", err)
	}
	return nil
}

func measure(o options) error {
	start := time.Now()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.runAll(); err != nil {
		return err
	}
	text := b.table().plain()
	foot := fmt.Sprintf("\n%d rounds, %v; %s\n%s", o.rounds, time.Since(start).Round(time.Second), host(), b.notes())
	fmt.Print(text + foot)
	if o.output != "" {
		return os.WriteFile(o.output, []byte(b.table().markdown()+foot), 0o644)
	}
	return nil
}
