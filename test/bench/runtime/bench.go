package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is one measurement.
type sample struct {
	wall time.Duration
	cpu  time.Duration
	rss  int64 // KiB, the largest of any process; 0 unless weighed
	rate float64
}

// bench1 is what one runtime has for itself.
type bench1 struct {
	program
	root    string   // --root
	target  string   // id of the running container that exec goes to
	bundles []string // of the throughput cases
	samples map[string][]sample
	weights map[string]int64 // KiB, by case
}

type bench struct {
	o       options
	dir     string
	rootfs  string
	floor   string // path of the C program, empty without gcc
	floors  []sample
	bundles map[string]string // by kind: plain, docker, hostnet
	runs    []*bench1
	null    *os.File
	weigher string // path of weigh.c's program, empty without gcc
	weigh   bool   // spawn measures memory instead of time
}

const cgroupParent = "/hull-bench"

func newBench(o options) (*bench, error) {
	dir, err := os.MkdirTemp("/var/tmp", "hull-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{o: o, dir: dir, rootfs: filepath.Join(dir, "rootfs"), bundles: make(map[string]string)}
	if b.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if err := b.prepare(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// spawn runs one command of a runtime to its end. The runtime gets /dev/null as its standard
// streams, but for the error output, which a failure shows.
func (b *bench) spawn(r *bench1, args ...string) (sample, error) {
	argv := append([]string{r.path, "--root", r.root}, args...)
	if b.weigh {
		return b.weighed(argv)
	}
	return b.process(r.path, argv)
}

// weighed runs a command below weigh.c and returns its largest resident set.
func (b *bench) weighed(argv []string) (sample, error) {
	report := filepath.Join(b.dir, "weight")
	if _, err := b.process(b.weigher, append([]string{b.weigher, report}, argv...)); err != nil {
		return sample{}, err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return sample{}, err
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return sample{}, fmt.Errorf("reading the weight of %s: %w", argv[0], err)
	}
	return sample{rss: kib}, nil
}

func (b *bench) process(path string, argv []string) (sample, error) {
	start := time.Now()
	proc, err := os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{b.null, b.null, os.Stderr}, Env: os.Environ()})
	if err != nil {
		return sample{}, err
	}
	state, err := proc.Wait()
	wall := time.Since(start)
	if err != nil {
		return sample{}, err
	}
	if !state.Success() {
		return sample{}, fmt.Errorf("%s: %v", strings.Join(argv, " "), state)
	}
	return sample{wall: wall, cpu: state.UserTime() + state.SystemTime()}, nil
}

// runAll runs the rounds. Each case starts with one round that does not count, which fills
// caches (keel keeps compiled seccomp programs).
func (b *bench) runAll() error {
	for i, c := range cases {
		if !b.o.cases.MatchString(c.name) {
			continue
		}
		rounds := b.o.rounds
		if c.rate {
			rounds = b.o.reps
		}
		if err := b.weighAll(c); err != nil {
			return err
		}
		for round := -1; round < rounds; round++ {
			if round < 0 && c.rate {
				continue
			}
			for k := range b.runs {
				r := b.runs[(k+round+len(b.runs))%len(b.runs)]
				s, err := c.run(b, r)
				if err != nil {
					return fmt.Errorf("case %q, %s: %w", c.name, r.name, err)
				}
				if round >= 0 {
					r.samples[c.name] = append(r.samples[c.name], s)
				}
			}
			if i == 0 && b.floor != "" && round >= 0 {
				s, err := b.process(b.floor, []string{b.floor, b.rootfs})
				if err != nil {
					return fmt.Errorf("the floor: %w", err)
				}
				b.floors = append(b.floors, s)
			}
		}
	}
	return nil
}

// weighRounds is how often memory is measured; it hardly varies.
const weighRounds = 3

// weighAll measures the memory of a case for each runtime, apart from the timed rounds.
func (b *bench) weighAll(c benchCase) error {
	if c.rate || b.weigher == "" {
		return nil
	}
	b.weigh = true
	defer func() { b.weigh = false }()
	for range weighRounds {
		for _, r := range b.runs {
			s, err := c.run(b, r)
			if err != nil {
				return fmt.Errorf("case %q, %s: %w", c.name, r.name, err)
			}
			r.weights[c.name] = max(r.weights[c.name], s.rss)
		}
	}
	return nil
}

// close ends the containers for exec and removes all that was made.
func (b *bench) close() {
	for _, r := range b.runs {
		if r.target != "" {
			if _, err := b.spawn(r, "delete", "--force", r.target); err != nil {
				fmt.Fprintf(os.Stderr, "bench: cleaning up: %v\n", err)
			}
		}
	}
	reapAll()
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroupParent)
	for _, d := range append(dirs, "/sys/fs/cgroup"+cgroupParent) {
		_ = os.Remove(d)
	}
	b.null.Close()
	_ = syscall.Unmount(filepath.Join(b.dir, "state"), syscall.MNT_DETACH) // EINVAL: not mounted yet
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: cleaning up: %v\n", err)
	}
}
