package engine

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// index finds containers by name, ID and a beginning of an ID.
type index struct {
	mu     sync.RWMutex
	byID   map[ID]*Container
	byName map[string]ID
	sorted []ID // for beginnings
}

func newIndex() *index {
	return &index{byID: make(map[ID]*Container), byName: make(map[string]ID)}
}

// reserve takes a name for a container that may not be there yet.
func (x *index) reserve(name string, id ID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if by, ok := x.byName[name]; ok && by != id {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, string(by)))
	}
	x.byName[name] = id
	return nil
}

// release gives a name back.
func (x *index) release(name string, id ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byName[name] == id {
		delete(x.byName, name)
	}
}

func (x *index) add(c *Container) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[c.id] = c
	i, _ := slices.BinarySearch(x.sorted, c.id)
	x.sorted = slices.Insert(x.sorted, i, c.id)
}

func (x *index) remove(c *Container) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, c.id)
	if i, ok := slices.BinarySearch(x.sorted, c.id); ok {
		x.sorted = slices.Delete(x.sorted, i, i+1)
	}
	for name, id := range x.byName {
		if id == c.id {
			delete(x.byName, name)
		}
	}
}

// find takes an ID, a name with or without a slash, or the beginning of an ID, in this order.
func (x *index) find(name string) (*Container, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if c := x.byID[ID(name)]; c != nil {
		return c, nil
	}
	if id, ok := x.byName[strings.TrimPrefix(name, "/")]; ok && x.byID[id] != nil {
		return x.byID[id], nil
	}
	if name != "" {
		i, _ := slices.BinarySearch(x.sorted, ID(name))
		if i < len(x.sorted) && strings.HasPrefix(string(x.sorted[i]), name) {
			if i+1 < len(x.sorted) && strings.HasPrefix(string(x.sorted[i+1]), name) {
				return nil, errdefs.ErrInvalidArgument.WithMessage("multiple IDs found with provided prefix: " + name)
			}
			return x.byID[x.sorted[i]], nil
		}
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such container: " + name)
}

func (x *index) all() []*Container {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]*Container, 0, len(x.sorted))
	for _, id := range x.sorted {
		out = append(out, x.byID[id])
	}
	return out
}

// newID makes an ID whose short form is not a number, as Docker's are: a hostname of digits alone
// confuses programs.
func newID() ID {
	for {
		var raw [32]byte
		_, _ = rand.Read(raw[:]) // never fails
		id := hex.EncodeToString(raw[:])
		if strings.ContainsAny(id[:12], "abcdef") {
			return ID(id)
		}
	}
}

// checkName says whether a container may have a name: Docker's grammar.
func checkName(name string) error {
	valid := len(name) >= 2 && len(name) <= 255
	for i := 0; valid && i < len(name); i++ {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		valid = alnum || i > 0 && (c == '_' || c == '.' || c == '-')
	}
	if valid {
		return nil
	}
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name))
}
