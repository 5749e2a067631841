package ociruntime

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hull-dev/hull/internal/ocispec"
)

func profile(errno int) *ocispec.Config {
	return &ocispec.Config{SeccompRaw: fmt.Appendf(nil, `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["swapon"],"action":"SCMP_ACT_ERRNO","errnoRet":%d}]}`, errno)}
}

// A program is compiled once; the second time it comes from the file, the same to the last bit.
func TestFilterIsKept(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	first, err := r.filter(profile(5))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(r.Root, filterDir, filterName(profile(5).SeccompRaw))
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.filter(profile(5))
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("from the cache: %+v, %v; compiled: %+v", second, err, first)
	}
	if after, err := os.Stat(name); err != nil || !os.SameFile(before, after) {
		t.Errorf("compiled twice: %v", err)
	}
}

// Another profile under the same name, a program cut short, a directory that others may write
// to: each time the section is compiled, and never another's program used.
func TestFilterTrustsNothing(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	want, err := r.filter(profile(5))
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.filter(profile(6))
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(want, other) {
		t.Fatal("the two profiles have one program")
	}
	dir := filepath.Join(r.Root, filterDir)
	name := filepath.Join(dir, filterName(profile(5).SeccompRaw))
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(dir, filterName(profile(6).SeccompRaw)))
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"another's": foreign, "empty": nil, "cut": good[:len(good)-9], "a length only": good[:4]} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := r.filter(profile(5)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if fd := r.openFilters(); fd >= 0 {
		t.Error("a directory that the group may write to is used")
	}
}

func TestFilterCacheIsBounded(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	for i := range maxFilters + 3 {
		if _, err := r.filter(profile(i + 1)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.ReadDir(filepath.Join(r.Root, filterDir))
	if err != nil || len(list) > maxFilters || len(list) == 0 {
		t.Errorf("%d files, %v", len(list), err)
	}
	if list, err := r.List(); err != nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
}
