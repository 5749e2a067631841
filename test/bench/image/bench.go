package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is one measurement.
type sample struct {
	wall, cpu, sync time.Duration
	written         int64 // bytes to the device, once all is synced
	peak            int64 // bytes: the largest resident set of the daemon, without one of the client
	pss             int64 // bytes, of the daemon, the largest seen
	disk            int64 // bytes that it takes on the file system
}

type bench struct {
	o        options
	dir      string // of the disk under test
	scratch  string // a tmpfs
	from, to *registry
	debian   string // the Debian image as a plain tar
	engines  []*engine
	skipped  []string // what was left out, in words
	samples  map[string]map[string][]sample
	order    []string // of the samples' names
	goals    map[string]step
}

func newBench(o options) (b *bench, err error) {
	b = &bench{o: o, samples: make(map[string]map[string][]sample), goals: make(map[string]step)}
	b.engines, b.skipped = installed(o)
	if len(b.engines) == 0 {
		return nil, fmt.Errorf("no engine to measure")
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp(o.dir, "hull-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.scratch = filepath.Join(b.dir, "s") // short: podman wants a runroot of at most 50 bytes
	if err := os.Mkdir(b.scratch, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", b.scratch, "tmpfs", 0, "mode=700,size=6g"); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs: %w", err)
	}
	if b.from, err = startRegistry(filepath.Join(b.dir, "from")); err != nil {
		return nil, err
	}
	return b, b.prepare()
}

// prepare makes the images and the archives that the cases need.
func (b *bench) prepare() error {
	deb, err := debian(b.o)
	if err != nil {
		return err
	}
	b.debian = deb[0].file
	syn, err := synthetic(b.o)
	if err != nil {
		return err
	}
	for _, kind := range []string{"gzip", "zstd"} {
		for name, plain := range map[string][]*blob{"debian": deb, "synthetic": syn} {
			if !b.wants(name+" "+kind, true) {
				continue
			}
			p, err := pictureOf(plain, kind, name)
			if err != nil {
				return err
			}
			if err := b.from.upload(name+"-"+kind, p); err != nil {
				return err
			}
		}
	}
	if b.wants("load", false) {
		p, err := pictureOf(syn, "", "synthetic")
		if err != nil {
			return err
		}
		if err := archive(filepath.Join(b.scratch, "load.tar"), []string{loadedName}, []*picture{p}); err != nil {
			return err
		}
	}
	if !b.wants("images", false) {
		return nil
	}
	var many []*picture
	var tags []string
	for i := range manyImages {
		name := fmt.Sprintf("many%03d", i)
		p, err := pictureOf(syn[:1], "", name)
		if err != nil {
			return err
		}
		many = append(many, p)
		tags = append(tags, "bench.local/"+name+":latest")
	}
	return archive(filepath.Join(b.scratch, "many.tar"), tags, many)
}

// wants says whether a scenario that is run has the text in its name.
func (b *bench) wants(text string, inside bool) bool {
	return slices.ContainsFunc(scenarios, func(s scenario) bool {
		return b.o.cases.MatchString(s.name) && (strings.HasPrefix(s.name, text) || inside && strings.Contains(s.name, text))
	})
}

func (b *bench) saved() string { return filepath.Join(b.scratch, "saved.tar") }

// runAll runs the rounds. SIGINT or SIGTERM ends them after the sample at hand: the table has what is there.
func (b *bench) runAll() error {
	broken := make(map[string]bool)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(stop)
	for _, s := range scenarios {
		if !b.o.cases.MatchString(s.name) {
			continue
		}
		for round := range b.o.rounds {
			for k := range b.engines {
				e := b.engines[(k+round)%len(b.engines)]
				select {
				case got := <-stop:
					b.skipped = append(b.skipped, fmt.Sprintf("ended by %v in %q", got, s.name))
					return nil
				default:
				}
				if broken[e.name+s.name] || slices.Contains(s.not, e.name) {
					continue
				}
				if err := b.run(e, s); err != nil {
					if e.name == "hulld" {
						return fmt.Errorf("%s: %w", s.name, err)
					}
					broken[e.name+s.name] = true // a peer that cannot is no reason to stop
					b.skipped = append(b.skipped, fmt.Sprintf("%s is left out of %q: %v", e.name, s.name, err))
				}
			}
		}
	}
	return nil
}

// run is one scenario of one engine on a new disk.
func (b *bench) run(e *engine, s scenario) (err error) {
	disk, err := newDisk(b.dir)
	if err != nil {
		return err
	}
	defer disk.close()
	state := filepath.Join(b.scratch, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	defer func() {
		clearMounts(state)
		os.RemoveAll(state)
		os.Remove(b.saved())
		if b.to != nil {
			b.to.close()
			b.to = nil
		}
	}()
	d, err := e.start(disk.dir, state)
	if err != nil {
		return err
	}
	if d != nil {
		defer d.stop()
	}
	for _, st := range s.steps {
		if st.fresh {
			if b.to, err = startRegistry(filepath.Join(b.dir, "to")); err != nil {
				return err
			}
		}
		for range max(1, st.times) {
			argv := e.argv(disk.dir, state, st.verb, st.args(b)...)
			if argv == nil {
				break
			}
			if err := b.step(e, st, argv, disk, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// step runs one command, and notes what it took if it is a sample.
func (b *bench) step(e *engine, st step, argv []string, disk *disk, d *daemon) error {
	used := int64(0)
	if st.disk {
		used = disk.used()
	}
	disk.sync()
	written := disk.written()
	var cpu time.Duration
	var pss chan int64
	stop := make(chan struct{})
	if d != nil {
		cpu = cpuOf(d.cmd.Process.Pid)
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.cmd.Process.Pid), []byte("5"), 0) // VmHWM begins anew
		if e.name == "hulld" {
			pss = make(chan int64, 1)
			go func() { pss <- watchPss(d.cmd.Process.Pid, stop) }()
		}
	}
	_, s, err := command(argv, nil, "")
	close(stop)
	if err != nil {
		return err
	}
	if d != nil {
		s.cpu += cpuOf(d.cmd.Process.Pid) - cpu
		s.peak = peakOf(d.cmd.Process.Pid)
	}
	if pss != nil {
		s.pss = <-pss
	}
	s.sync = disk.sync()
	s.written = disk.written() - written
	if st.disk {
		s.disk = disk.used() - used
	}
	if st.name == "" {
		return nil
	}
	if b.o.verbose {
		fmt.Fprintf(os.Stderr, "%s, %s: %v, CPU %v, sync %v, written %s, peak %s, PSS %s\n", st.name, e.name, s.wall.Round(time.Millisecond/10), s.cpu.Round(time.Millisecond), s.sync.Round(time.Millisecond), megabytes(s.written), megabytes(s.peak), megabytes(s.pss))
	}
	if b.samples[st.name] == nil {
		b.samples[st.name] = make(map[string][]sample)
		b.order = append(b.order, st.name)
		b.goals[st.name] = st
	}
	b.samples[st.name][e.name] = append(b.samples[st.name][e.name], s)
	return nil
}

// watchPss looks at the proportional set now and then, and returns the largest.
func watchPss(pid int, stop chan struct{}) (most int64) {
	for {
		most = max(most, pssOf(pid))
		select {
		case <-stop:
			return most
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// clearMounts unmounts what is mounted below dir.
func clearMounts(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(string(mounts), "\n")
	for _, line := range slices.Backward(lines) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

// notes are what the reader of the table must know.
func (b *bench) notes() string {
	out := "sync: what syncfs(2) takes after the command; written: to the device, sync included; peak: largest resident set of the daemon (podman: of the command).\n" +
		"The machine may have had other work: ratios of interleaved rounds hold, times do not.\n"
	for _, s := range scenarios {
		for _, name := range s.not {
			out += name + " is left out of " + s.name + ": it takes minutes to prepare\n"
		}
	}
	for _, s := range b.skipped {
		out += s + "\n"
	}
	return out
}

func (b *bench) close() {
	if b.from != nil {
		b.from.close()
	}
	_ = syscall.Unmount(b.scratch, syscall.MNT_DETACH)
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: cleaning up: %v\n", err)
	}
}
