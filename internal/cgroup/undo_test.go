package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestUndoCanBeTriedAgain: what the first undo cannot remove, because a process is still in
// there, the second does; what somebody else has removed is no obstacle.
func TestUndoCanBeTriedAgain(t *testing.T) {
	top := filepath.Join(t.TempDir(), "a")
	made := []string{top, top + "/b", top + "/b/c"}
	for _, dir := range made {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busy := top + "/b/process" // rmdir(2) refuses as it does while a process is in a group
	if err := os.WriteFile(busy, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := groupDir{made: slices.Clone(made)}
	d.undo()
	if _, err := os.Stat(made[2]); err == nil {
		t.Error("the empty directory is left")
	}
	if err := os.Remove(busy); err != nil {
		t.Fatal(err)
	}
	d.undo()
	if _, err := os.Stat(top); err == nil {
		t.Error("the directories are left after the second undo")
	}
	d.undo()
}
