package ociruntime

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "A-b_c.d+9", "...", "-x", strings.Repeat("x", 1024)} {
		if err := checkID(id); err != nil {
			t.Errorf("checkID(%.20q): %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "../x", "a b", "a\n", "ä", "a\x00", "a:b", strings.Repeat("x", 1025)} {
		if err := checkID(id); err == nil {
			t.Errorf("checkID(%.20q) accepts it", id)
		}
		if _, err := (&Runtime{Root: t.TempDir()}).Load(id); err == nil || errors.Is(err, ErrNotExist) {
			t.Errorf("Load(%.20q): %v, want it refused by its name", id, err)
		}
		if err := (&Runtime{Root: t.TempDir()}).Forget(id); err == nil {
			t.Errorf("Forget(%.20q) accepts it", id)
		}
	}
}

func stored(t *testing.T, r *Runtime, id string) *Container {
	t.Helper()
	c := &Container{State: State{OCIVersion: "1.3.0", ID: id, Bundle: "/b", Rootfs: "/b/rootfs", Created: time.Unix(1, 5).UTC(), InitPid: 1 << 22, InitStart: 3,
		Cgroups: map[string]string{"": "/c"}, Annotations: map[string]string{"k": "v\"\n"}, Namespaces: 1 << 40}, r: r, dir: filepath.Join(r.Root, id)}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSaveAndLoad(t *testing.T) {
	var warnings []string
	r := &Runtime{Root: t.TempDir(), Warn: func(m string) { warnings = append(warnings, m) }}
	want := stored(t, r, "one")
	got, err := r.Load("one")
	if err != nil || !reflect.DeepEqual(got.State, want.State) {
		t.Fatalf("Load: %+v, %v; want %+v", got, err, want.State)
	}
	if _, err := r.Load("two"); !errors.Is(err, ErrNotExist) || err.Error() != "container does not exist: two" {
		t.Errorf("Load of none: %v", err)
	}
	// A reader must never see a part: the new text comes in by rename.
	before, err := os.Open(filepath.Join(want.dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	want.InitPid++
	if err := want.save(); err != nil {
		t.Fatal(err)
	}
	a, _ := before.Stat()
	b, _ := os.Stat(filepath.Join(want.dir, stateFile))
	if os.SameFile(a, b) {
		t.Error("save writes over the file that others may be reading")
	}
	if err := os.Rename(want.dir, filepath.Join(r.Root, "stolen")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load("stolen"); err == nil {
		t.Error("Load takes the state of another container")
	}
	if err := os.RemoveAll(filepath.Join(r.Root, "stolen")); err != nil {
		t.Fatal(err)
	}

	stored(t, r, "b")
	stored(t, r, "a")
	for _, f := range []string{"creating/" + configFile, "broken/" + stateFile} {
		os.Mkdir(filepath.Dir(filepath.Join(r.Root, f)), 0o700)
		if err := os.WriteFile(filepath.Join(r.Root, f), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.List()
	if err != nil || len(all) != 2 || all[0].ID != "a" || all[1].ID != "b" {
		t.Errorf("List: %d containers, %v; want a and b", len(all), err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "broken") {
		t.Errorf("warnings %q; want one, of the broken state", warnings)
	}
	if uid, err := all[0].OwnerID(); err != nil || int(uid) != os.Geteuid() {
		t.Errorf("OwnerID: %d, %v", uid, err)
	}

	if err := r.Forget("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load("a"); err != nil {
		t.Errorf("Forget removed a container that has a state: %v", err)
	}
	if err := r.Forget("creating"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(r.Root, "creating")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Forget leaves a directory without a state: %v", err)
	}
}

func TestListWithoutStateDirectory(t *testing.T) {
	if all, err := (&Runtime{Root: "/nonexistent/keel"}).List(); err != nil || all != nil {
		t.Errorf("List: %v, %v; want nothing", all, err)
	}
}
