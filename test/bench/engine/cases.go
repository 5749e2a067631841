package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// benchCase is one thing that is measured, for one engine at a time.
type benchCase struct {
	name  string
	goal  time.Duration // for hull, on a quiet machine
	bytes int64         // goal of a case that weighs; 0 for one that takes time
	once  bool          // too heavy for many rounds
	hull  bool          // of hulld's API: not for others
	run   func(b *bench, e *engine) (sample, error)
}

const ms = time.Millisecond

// cases in the order of DESIGN.md's table. Those with many containers come last.
var cases = []benchCase{
	{name: "run --rm, no network", goal: 10 * ms, run: foreground("none")},
	{name: "run --rm, bridge", goal: 12 * ms, run: foreground("bridge")},
	{name: "run -d, no network", goal: 10 * ms, run: detached("none")},
	{name: "run -d, bridge", goal: 10 * ms, run: detached("bridge")},
	{name: "exec", goal: 6 * ms, run: execTrue},
	{name: "stop (TERM trapped)", goal: 10 * ms, run: stop},
	{name: "rm -f, running", goal: 10 * ms, run: removeRunning},
	{name: "version (the client alone)", run: version},
	{name: "API: create + start", hull: true, run: apiStart},
	{name: "API: create + start + wait + gone", hull: true, run: apiRun},
	{name: "API: exec", hull: true, run: apiExec},
	{name: "API: stop (TERM trapped)", hull: true, run: apiStop},
	{name: "daemon idle", once: true, bytes: 40 << 20, run: idle},
	{name: "run -d × many, 8 at a time, no network", once: true, goal: time.Second, run: many("none")},
	{name: "ps with many", goal: 5 * ms, run: ps},
	{name: "API: list with many", hull: true, run: apiList},
	{name: "memory per container", once: true, bytes: 8 << 20 / 10, run: perContainer},
	{name: "rm -f × many", once: true, run: removeMany},
	{name: "run -d × many, 8 at a time, bridge", once: true, goal: time.Second, run: many("bridge")},
	{name: "rm -f × many, bridge", once: true, run: removeMany},
}

func foreground(network string) func(*bench, *engine) (sample, error) {
	return func(b *bench, e *engine) (sample, error) {
		_, s, err := e.run("run", "--rm", "--network", network, "busybox", "true")
		return s, err
	}
}

func detached(network string) func(*bench, *engine) (sample, error) {
	return func(b *bench, e *engine) (sample, error) {
		id, s, err := e.run("run", "-d", "--network", network, "busybox", "sleep", "1000")
		if err == nil {
			_, _, err = e.run("rm", "-f", id)
		}
		return s, err
	}
}

// trapping starts a container that ends on TERM, and waits until it has set its trap.
func trapping(e *engine) (string, error) {
	id, _, err := e.run("run", "-d", "--network", "none", "busybox", "sh", "-c", "trap 'exit 0' TERM; echo ready; sleep 1000 & wait")
	for end := time.Now().Add(20 * time.Second); err == nil; time.Sleep(5 * ms) {
		var out string
		if out, _, err = e.run("logs", id); out == "ready" {
			return id, nil
		}
		if time.Now().After(end) {
			err = fmt.Errorf("%s: a container does not get ready", e.name)
		}
	}
	return "", err
}

func stop(b *bench, e *engine) (s sample, err error) {
	id, err := trapping(e)
	if err != nil {
		return s, err
	}
	if _, s, err = e.run("stop", id); err == nil {
		_, _, err = e.run("rm", "-f", id)
	}
	return s, err
}

func removeRunning(b *bench, e *engine) (s sample, err error) {
	id, _, err := e.run("run", "-d", "--network", "none", "busybox", "sleep", "1000")
	if err == nil {
		_, s, err = e.run("rm", "-f", id)
	}
	return s, err
}

func version(b *bench, e *engine) (sample, error) {
	_, s, err := e.run("version")
	return s, err
}

// target is a container that runs as long as the engine.
func (e *engine) target() (string, error) {
	if id := e.targets["exec"]; id != "" {
		return id, nil
	}
	id, _, err := e.run("run", "-d", "--network", "none", "busybox", "sleep", "100000")
	e.targets["exec"] = id
	return id, err
}

func execTrue(b *bench, e *engine) (s sample, err error) {
	id, err := e.target()
	if err == nil {
		_, s, err = e.run("exec", id, "true")
	}
	return s, err
}

func idle(b *bench, e *engine) (sample, error) {
	if e.daemon == nil {
		return sample{}, errAbsent
	}
	for _, id := range e.targets {
		if _, _, err := e.run("rm", "-f", id); err != nil {
			return sample{}, err
		}
	}
	clear(e.targets)
	time.Sleep(time.Second)
	return sample{bytes: e.weight()}, nil
}

// many starts the containers of the rows with many. It notes the weight before and after.
func many(network string) func(*bench, *engine) (sample, error) {
	return func(b *bench, e *engine) (sample, error) {
		before := e.weight()
		work := make(chan int, b.o.many)
		for i := range b.o.many {
			work <- i
		}
		close(work)
		var (
			all  sync.WaitGroup
			mu   sync.Mutex
			errs []error
			ids  []string
		)
		begun := time.Now()
		for range 8 {
			all.Go(func() {
				for range work {
					id, _, err := e.run("run", "-d", "--network", network, "busybox", "sleep", "100000")
					mu.Lock()
					errs, ids = append(errs, err), append(ids, id)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		s := sample{wall: time.Since(begun)}
		e.targets["many"] = strings.Join(ids, " ")
		time.Sleep(time.Second)
		s.bytes = (e.weight() - before) / int64(b.o.many)
		return s, errors.Join(errs...)
	}
}

func ps(b *bench, e *engine) (sample, error) {
	out, s, err := e.run("ps", "-q")
	if n := len(strings.Fields(out)); err == nil && n < b.o.many {
		err = fmt.Errorf("%s: ps shows %d containers of %d", e.name, n, b.o.many)
	}
	return s, err
}

// perContainer is what the case before has weighed.
func perContainer(b *bench, e *engine) (sample, error) {
	was := e.samples["run -d × many, 8 at a time, no network"]
	if len(was) == 0 {
		return sample{}, errAbsent
	}
	return sample{bytes: was[len(was)-1].bytes}, nil
}

func removeMany(b *bench, e *engine) (sample, error) {
	ids := strings.Fields(e.targets["many"])
	delete(e.targets, "many")
	if len(ids) == 0 {
		return sample{}, errAbsent
	}
	_, s, err := e.run(append([]string{"rm", "-f"}, ids...)...)
	return s, err
}
