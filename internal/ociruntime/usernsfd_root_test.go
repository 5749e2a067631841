package ociruntime

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootMapSource: one namespace for each pair of maps; its maps are those asked for.
func TestRootMapSource(t *testing.T) {
	me := thisCaller()
	var undo undoList
	defer undo.run()
	s := &mapSource{caller: &me, undo: &undo}
	a, err := s.fd(idMap(0, 1000, 10), idMap(0, 2000, 10))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := s.fd(idMap(0, 1000, 10), idMap(0, 2000, 10))
	other, err := s.fd(idMap(0, 1000, 10), idMap(0, 3000, 10))
	if err != nil || again != a || other == a || len(undo.fds) != 2 {
		t.Errorf("descriptors %d, %d, %d, %v", a, again, other, err)
	}
	m, err := inspect(other, &specs.Linux{})
	if err != nil || !slices.Equal(m.uids, idMap(0, 1000, 10)) || !slices.Equal(m.gids, idMap(0, 3000, 10)) || !m.setgroups {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := s.fd(idMap(0, 1000, 10, 5, 5000, 10), idMap(0, 1, 1)); err == nil {
		t.Error("the kernel takes overlapping maps?")
	}
}
