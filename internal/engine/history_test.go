package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// TestHistory: eight clients do what comes to their minds, each with containers of its own and one name that all want.
// What every call says, and what is there in the end, is what a model says.
func TestHistory(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	e := h.open(root)
	const clients, steps = 8, 120
	models := make([]map[string]Phase, clients) // by ID
	names := make([]map[string]string, clients)
	var all sync.WaitGroup
	for n := range clients {
		models[n], names[n] = make(map[string]Phase), make(map[string]string)
		all.Go(func() {
			c := client{t: t, e: e, h: h, n: n, r: rand.New(rand.NewPCG(7, uint64(n))), phases: models[n], names: names[n]}
			for range steps {
				c.step()
			}
		})
	}
	all.Wait()
	check := func(e *Engine) {
		t.Helper()
		total := 0
		for n := range clients {
			for id, want := range models[n] {
				total++
				v := until(t, e, id, string(want), phase(want))
				if v.Name != names[n][id] {
					t.Errorf("container %s is called %s, want %s", id, v.Name, names[n][id])
				}
				if byName, err := e.Find(v.Name); err != nil || byName.ID != v.ID {
					t.Errorf("name %s: %v", v.Name, err)
				}
			}
		}
		if got := len(e.Views()); got != total {
			t.Errorf("%d containers are there, want %d", got, total)
		}
	}
	check(e)
	e.Close()
	e = h.open(root)
	defer e.Close()
	check(e)
}

// client is one client with its model.
type client struct {
	t      *testing.T
	e      *Engine
	h      *host
	n      int
	r      *rand.Rand
	phases map[string]Phase
	names  map[string]string
	made   int
}

// any is one of the client's containers.
func (c *client) any() (id string) {
	k := c.r.IntN(len(c.phases))
	for id = range c.phases { // the order does not matter: the model follows
		if k == 0 {
			break
		}
		k--
	}
	return id
}

func (c *client) step() {
	ctx := context.Background()
	if len(c.phases) == 0 || c.r.IntN(8) == 0 && len(c.phases) < 4 {
		c.made++
		name := fmt.Sprintf("c%d-%d", c.n, c.made)
		r, err := c.e.Create(ctx, CreateRequest{Name: name, Config: &container.Config{Image: "busybox"}, Host: &container.HostConfig{NetworkMode: "none"}})
		if err != nil {
			c.t.Error(err)
			return
		}
		c.phases[string(r.ID)], c.names[string(r.ID)] = Created, name
		return
	}
	id := c.any()
	p := c.phases[id]
	ok := func(what string, err error, allowed bool, then Phase) {
		if allowed != (err == nil) {
			c.t.Errorf("%s of a container that is %s: %v", what, p, err)
		}
		if err == nil {
			c.phases[id] = then
		} else if !errdefs.IsConflict(err) && !errors.Is(err, ErrNotModified) {
			c.t.Errorf("%s of a container that is %s: %v", what, p, err)
		}
	}
	switch c.r.IntN(10) {
	case 0, 1:
		ok("start", c.e.Start(ctx, id), p == Created || p == Exited, Running)
	case 2:
		ok("stop", c.e.Stop(ctx, id, StopOptions{}), alive(p), Exited)
	case 3:
		ok("kill", c.e.Kill(ctx, id, "KILL"), alive(p), Exited)
	case 4:
		ok("pause", c.e.Pause(ctx, id), p == Running, Paused)
	case 5:
		ok("unpause", c.e.Unpause(ctx, id), p == Paused, Running)
	case 6:
		force := c.r.IntN(2) == 0
		if err := c.e.Remove(ctx, id, RemoveOptions{Force: force}); err == nil {
			delete(c.phases, id)
			delete(c.names, id)
		} else if force || !alive(p) {
			c.t.Errorf("removal of a container that is %s: %v", p, err)
		}
	case 7:
		to := fmt.Sprintf("r%d-%d", c.n, c.r.IntN(4))
		if c.r.IntN(3) == 0 {
			to = "wanted-by-all"
		}
		if err := c.e.Rename(ctx, id, to); err == nil {
			c.names[id] = to
		} else if !errdefs.IsConflict(err) && !errdefs.IsInvalidArgument(err) {
			c.t.Error(err)
		}
	case 8:
		ok("restart", c.e.Restart(ctx, id, StopOptions{}), true, Running)
	case 9:
		ex, err := c.e.ExecCreate(ctx, id, ExecConfig{Cmd: []string{"x"}})
		if (err == nil) != (p == Running) {
			c.t.Errorf("exec in a container that is %s: %v", p, err)
		}
		if err == nil && c.r.IntN(2) == 0 {
			c.h.end(id, 1) // and the container ends under the exec's feet
			wait, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			for c.e.mustFind(id).State.Phase == Running && wait.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			c.phases[id] = Exited
			if _, err := c.e.ExecReady(ex); !errdefs.IsConflict(err) {
				c.t.Errorf("an exec can start in a container that ended: %v", err)
			}
		}
	}
}

func (e *Engine) mustFind(id string) *View {
	v, err := e.Find(id)
	if err != nil {
		panic(err)
	}
	return v
}
