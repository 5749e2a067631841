package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// benchCase is one thing that is measured, for one runtime at a time.
type benchCase struct {
	name string
	goal float64 // ratio to crun's median; for rates, at least
	rate bool    // containers per second: more is better
	run  func(b *bench, p *bench1) (sample, error)
}

// cases in the order of DESIGN.md's table.
var cases = []benchCase{
	{name: "run, new netns", goal: 0.6, run: runBundle("plain")},
	{name: "run, Docker's config.json", goal: 0.35, run: runBundle("docker")},
	{name: "run, host network", goal: 0.6, run: runBundle("hostnet")},
	{name: "exec", goal: 0.6, run: execTrue},
	{name: "create + start + delete", goal: 0.6, run: createStartDelete},
	{name: "containers/s, 1 at a time", goal: 1.3, rate: true, run: throughput(1)},
	{name: "containers/s, 2 at a time", goal: 1.3, rate: true, run: throughput(2)},
	{name: "containers/s, 8 at a time", goal: 1.3, rate: true, run: throughput(8)},
}

// runBundle measures `run` of a bundle in the foreground.
func runBundle(kind string) func(*bench, *bench1) (sample, error) {
	return func(b *bench, r *bench1) (sample, error) {
		return b.spawn(r, "run", "--bundle", b.bundles[kind], "one")
	}
}

func execTrue(b *bench, r *bench1) (sample, error) {
	return b.spawn(r, "exec", r.target, "/bin/true")
}

// createStartDelete measures the three commands of an engine, and the wait for the end of
// /bin/true between start and delete.
func createStartDelete(b *bench, r *bench1) (sample, error) {
	pidFile := filepath.Join(b.dir, "pid")
	begin := time.Now()
	total, err := b.spawn(r, "create", "--bundle", b.bundles["plain"], "--pid-file", pidFile, "three")
	if err != nil {
		return total, err
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return total, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return total, fmt.Errorf("pid file: %w", err)
	}
	s, err := b.spawn(r, "start", "three")
	if err != nil {
		return total, err
	}
	total.cpu, total.rss = total.cpu+s.cpu, max(total.rss, s.rss)
	if err := reap(pid); err != nil {
		return total, err
	}
	s, err = b.spawn(r, "delete", "three")
	total.cpu, total.rss = total.cpu+s.cpu, max(total.rss, s.rss)
	total.wall = time.Since(begin)
	return total, err
}

// throughput measures containers per second with a number of them at a time.
func throughput(parallel int) func(*bench, *bench1) (sample, error) {
	return func(b *bench, r *bench1) (sample, error) {
		next := make(chan int)
		var mu sync.Mutex
		var total sample
		var errs []error
		var wg sync.WaitGroup
		begin := time.Now()
		for range parallel {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range next {
					s, err := b.spawn(r, "run", "--bundle", r.bundles[i], "many-"+strconv.Itoa(i))
					mu.Lock()
					total.cpu += s.cpu
					if err != nil {
						errs = append(errs, err)
					}
					mu.Unlock()
				}
			}()
		}
		for i := range r.bundles {
			next <- i
		}
		close(next)
		wg.Wait()
		total.wall = time.Since(begin)
		n := len(r.bundles)
		total.rate = float64(n) / total.wall.Seconds()
		total.cpu /= time.Duration(n)
		return total, errors.Join(errs...)
	}
}
