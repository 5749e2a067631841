package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/shim"
)

const (
	connectTime = 10 * time.Second // for a shim to answer when hulld starts
	lostReboot  = 255              // exit code of a container that ended with the host, as Docker's
)

// load reads the records, and sees to every container that was left, all at once.
func (e *Engine) load() error {
	entries, err := os.ReadDir(e.dir(""))
	if err != nil {
		return fmt.Errorf("reading the directory of containers: %w", err)
	}
	for _, entry := range entries {
		id := ID(entry.Name())
		v, err := readRecord(e.dir(id))
		if errors.Is(err, errTorn) || err == nil && (v.ID != id || len(id) != 64) {
			e.log.Warn("a container's directory has no valid record and is removed: its creation did not come to its end", "container", id)
			if err := e.trash.bin(e.dir(id)); err != nil {
				e.log.Error("removing what is left of a container", "container", id, "error", err)
			}
			continue
		}
		if err != nil {
			e.log.Error("a container is left out: its record cannot be read", "container", id, "error", err)
			continue
		}
		v.Dir = e.dir(id) // the data root may have been moved
		if err := e.names.reserve(v.Name, id); err != nil {
			e.log.Error("two containers have one name; this one is known by its ID", "container", id, "name", v.Name)
			v.Name = id.Short()
			_ = e.names.reserve(v.Name, id) // nobody else has it
		}
		if v.IDs != nil {
			e.ids.claim(*v.IDs)
		}
		c := &Container{id: id, e: e}
		c.view.Store(v)
		if c.base, c.release, err = e.opts.Images.HoldChain(v.topLayer()); err != nil {
			e.log.Error("a container has lost its image's layers and cannot be started", "container", id, "error", err)
			c.release = func() {}
		}
		e.names.add(c)
		c.restoreVolumes()
	}
	if e.opts.Volumes != nil {
		e.opts.Volumes.Settle()
	}
	e.restoreNetworks()
	e.sweepTrash()
	e.reconcile()
	return nil
}

// sweepTrash goes on with what an earlier hulld was deleting.
func (e *Engine) sweepTrash() {
	e.trash.do(func() {
		entries, err := os.ReadDir(e.trashDir())
		for _, entry := range entries {
			err = errors.Join(err, e.opts.Roots.Remove(filepath.Join(e.trashDir(), entry.Name())))
		}
		if err != nil {
			e.log.Warn("deleting what is left of removed containers", "error", err)
		}
	})
}

// reconcile finds out what became of every container, and starts those that are to run. It returns
// at once: each container's first turn is to find out.
func (e *Engine) reconcile() {
	var found sync.WaitGroup
	for _, c := range e.names.all() {
		found.Add(1)
		c.mail.post("being looked for after a start of hulld", func() {
			defer found.Done()
			c.find()
		})
	}
	e.background(func() {
		e.sweepState()
		waitAtMost(e.running, &found, 2*connectTime)
		e.startAll()
	})
}

func waitAtMost(ctx context.Context, wg *sync.WaitGroup, d time.Duration) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// sweepState ends what the state directory has of containers that are not there: their creation or
// their removal was cut off.
func (e *Engine) sweepState() {
	ids, err := e.opts.Shims.IDs()
	if err != nil {
		e.log.Error("looking for what is left of containers", "error", err)
		return
	}
	var all sync.WaitGroup
	for _, id := range ids {
		if c, err := e.names.find(id); err == nil && c.id == ID(id) {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(e.running, cleanTime)
			defer cancel()
			if s, err := e.opts.Shims.Connect(ctx, id); err == nil {
				err = s.Delete(ctx)
				s.Close()
				if err != nil {
					_, err = e.opts.Shims.Sweep(ctx, id)
				}
				if err != nil {
					e.log.Error("ending a container that has no record", "container", id, "error", err)
				}
			} else if gone := (*shim.GoneError)(nil); !errors.As(err, &gone) || gone.Exit == nil {
				if _, err := e.opts.Shims.Sweep(ctx, id); err != nil {
					e.log.Error("ending a container that has no record", "container", id, "error", err)
				}
			}
			if err := e.opts.Shims.Forget(id); err != nil {
				e.log.Error("removing the state of a container that has no record", "container", id, "error", err)
			}
		})
	}
	all.Wait()
}

// find looks for the container's shim, in its first turn.
func (c *Container) find() {
	ctx, cancel := context.WithTimeout(c.e.running, connectTime)
	defer cancel()
	v := c.view.Load()
	s, err := c.e.opts.Shims.Connect(ctx, string(c.id))
	if err == nil {
		err = c.adopt(ctx, s)
	}
	var gone *shim.GoneError
	switch {
	case err == nil:
	case errors.As(err, &gone) && gone.Exit != nil:
		// The end may be later than what the record knows of: hulld was killed between the start and
		// the record of it.
		if alive(v.State.Phase) || gone.Exit.At.After(v.State.Finished.Add(time.Millisecond)) && gone.Exit.At.After(v.State.Started) {
			c.endedAway(*gone.Exit)
		}
		c.forgetState()
	case errors.As(err, &gone):
		c.lostAway(v)
	case errors.Is(err, shim.ErrNotFound):
		if alive(v.State.Phase) {
			c.endedAway(shim.Exit{Code: lostReboot, At: now(), Err: "the host stopped while the container ran"})
		}
	case c.e.running.Err() != nil:
	default:
		c.e.log.Error("a container's shim does not answer; it is tried again", "container", c.id, "error", err)
		time.AfterFunc(connectTime, func() {
			c.mail.post("being looked for again", func() {
				if c.shim == nil && !c.gone && c.e.running.Err() == nil {
					c.find()
				}
			})
		})
	}
	c.loaded()
}

// loaded settles what a record says that cannot be after a start of hulld.
func (c *Container) loaded() {
	v := c.view.Load()
	switch {
	case v.State.Phase == Restarting:
		c.save(func(v *View) { v.State.Phase = Exited }) // startAll goes on
	case v.State.Phase == Removing || v.State.Phase == Dead:
		c.change(func(v *View) { v.State.Phase = Dead })
		if err := c.remove(false); err != nil {
			c.e.log.Error("a removal that was cut off could not be finished", "container", c.id, "error", err)
		}
	case v.State.Phase == Exited && v.AutoRemove():
		c.autoRemove()
	}
}

// lostAway ends what a dead shim left while hulld was away.
func (c *Container) lostAway(v *View) {
	ctx, cancel := context.WithTimeout(c.e.running, cleanTime)
	defer cancel()
	exit, err := c.e.opts.Shims.Sweep(ctx, string(c.id))
	if err != nil {
		c.e.log.Error("sweeping up after a shim that was killed", "container", c.id, "error", err)
		exit = shim.Exit{Code: 137, At: now(), Err: err.Error()}
	}
	if alive(v.State.Phase) {
		c.endedAway(exit)
	}
	c.forgetState()
}

// adopt takes over a running container.
func (c *Container) adopt(ctx context.Context, s Shim) error {
	info, err := s.Info(ctx)
	if err != nil {
		s.Close()
		return err
	}
	phase := Running
	switch info.Status {
	case shim.Creating, shim.Created:
		// Its start was cut off. Nobody was told that it runs.
		c.endShim(s)
		return nil
	case shim.Paused:
		phase = Paused
	case shim.Stopped:
		// The exit event comes as soon as it is subscribed to.
	}
	c.shim = s
	c.save(func(v *View) {
		if !alive(v.State.Phase) {
			v.State.Started, v.State.Error, v.State.ExitCode = info.Started.UTC().Round(0), "", 0
			v.State.Phase = Running
		}
		v.State.Phase, v.State.Pid = phase, info.Pid
		v.Sandbox = fmt.Sprintf("/proc/%d/ns/net", info.Pid)
		if v.State.Health == nil {
			v.State.Health = c.newHealth()
		}
	})
	s.Subscribe(func(ev shim.Event) { c.mail.post("taking note of an event", func() { c.event(s, ev) }) })
	if phase == Running {
		c.startHealth()
	}
	return nil
}

// endedAway takes note of an end that came while hulld was away. What is started again is started by
// startAll, in order.
func (c *Container) endedAway(exit shim.Exit) {
	c.detachNetworks()
	c.save(func(v *View) {
		v.State.Phase, v.State.Pid, v.Sandbox, v.NetState, v.Ports = Exited, 0, "", nil, nil
		v.unplug()
		v.State.ExitCode, v.State.Error, v.State.Finished = exit.Code, exit.Err, exit.At.UTC().Round(0)
		v.State.OOMKilled, v.State.OOMKills = v.State.OOMKilled || exit.OOM, max(v.State.OOMKills, exit.OOMKills)
	})
	c.releaseMounts()
	c.publish("die", map[string]string{"exitCode": fmt.Sprint(exit.Code)})
	v := c.view.Load()
	c.wake(Exit{Code: v.State.ExitCode}, WaitNotRunning, WaitNextExit)
}

// wanted says whether a container is to be started when hulld starts.
func wanted(v *View) bool {
	if v.State.Phase != Exited || v.State.Started.IsZero() || v.AutoRemove() {
		return false
	}
	rp := v.Host.RestartPolicy
	switch rp.Name {
	case container.RestartPolicyAlways:
		return true
	case container.RestartPolicyUnlessStopped:
		return !v.State.Manual
	case container.RestartPolicyOnFailure:
		return !v.State.Manual && v.State.ExitCode != 0 && (rp.MaximumRetryCount == 0 || v.RestartCnt < rp.MaximumRetryCount)
	}
	return false
}

// startAll starts what is to run, those that others need first.
func (e *Engine) startAll() {
	views := make(map[ID]*View)
	for _, v := range e.Views() {
		if wanted(v) {
			views[v.ID] = v
		}
	}
	done := make(map[ID]chan struct{}, len(views))
	order := e.startOrder(views)
	slots := make(chan struct{}, 8)
	var all sync.WaitGroup
	for _, v := range order {
		needs := e.needs(v)
		mine := make(chan struct{})
		// Only those before it in the order are waited for, so a circle ends.
		var before []chan struct{}
		for id := range needs {
			if ch := done[id]; ch != nil {
				before = append(before, ch)
			}
		}
		done[v.ID] = mine
		all.Go(func() {
			defer close(mine)
			for _, ch := range before {
				select {
				case <-ch:
				case <-e.running.Done():
					return
				}
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			if e.running.Err() != nil {
				return
			}
			e.startWanted(v.ID)
		})
	}
	all.Wait()
}

func (e *Engine) startWanted(id ID) {
	err := e.turn(e.running, string(id), "starting", func(ctx context.Context, c *Container) error {
		if !wanted(c.view.Load()) {
			return nil
		}
		err := c.start(ctx, func(v *View) { v.State.Manual = false })
		if err != nil {
			c.again(err)
		}
		return err
	})
	if err != nil && e.running.Err() == nil {
		e.log.Warn("a container could not be started with hulld", "container", id, "error", err)
	}
}
