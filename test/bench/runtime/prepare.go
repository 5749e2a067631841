package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// prepare makes the root file system, the bundles, the containers for exec, and the floor.
func (b *bench) prepare() error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox-static is needed: %w", err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.rootfs, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(b.rootfs, "bin/busybox"), data, 0o755); err != nil {
		return err
	}
	for _, n := range []string{"true", "sh", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(b.rootfs, "bin", n)); err != nil {
			return err
		}
	}
	for _, kind := range []string{"plain", "docker", "hostnet"} {
		if b.bundles[kind], err = b.bundle(kind, kind); err != nil {
			return err
		}
	}
	// State directories are on a tmpfs, as /run is on a host: on ext4 removing one costs 0.1 ms.
	state := filepath.Join(b.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "mode=700"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", state, err)
	}
	for _, p := range b.o.programs {
		r := &bench1{program: p, root: filepath.Join(state, p.name), samples: make(map[string][]sample), weights: make(map[string]int64)}
		if err := os.Mkdir(r.root, 0o700); err != nil {
			return err
		}
		b.runs = append(b.runs, r)
		if err := b.startTarget(r); err != nil {
			return err
		}
	}
	for i := range b.o.containers {
		name := "many-" + strconv.Itoa(i)
		dir, err := b.bundle("plain", name)
		if err != nil {
			return err
		}
		for _, r := range b.runs {
			r.bundles = append(r.bundles, dir)
		}
	}
	b.floor, b.weigher = b.compile("floor"), b.compile("weigh")
	return nil
}

// compile builds one of the C programs of testdata; without gcc its rows are left out.
func (b *bench) compile(name string) string {
	program := filepath.Join(b.dir, name)
	source := filepath.Join(b.o.testdata, "../runtime/testdata", name+".c")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", program, source).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: compiling %s.c: %v: %s\n", name, err, out)
		return ""
	}
	return program
}

// bundle writes a bundle of a kind (plain, docker, hostnet, sleep) and returns its directory.
func (b *bench) bundle(kind, name string) (string, error) {
	file := "plain-config.json"
	if kind == "docker" {
		file = "docker-config.json"
	}
	data, err := os.ReadFile(filepath.Join(b.o.testdata, file))
	if err != nil {
		return "", err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	spec["root"].(map[string]any)["path"] = b.rootfs
	linux := spec["linux"].(map[string]any)
	linux["cgroupsPath"] = cgroupParent + "/" + name
	if kind == "hostnet" {
		var kept []any
		for _, ns := range linux["namespaces"].([]any) {
			if ns.(map[string]any)["type"] != "network" {
				kept = append(kept, ns)
			}
		}
		linux["namespaces"] = kept
	}
	if kind == "sleep" {
		spec["process"].(map[string]any)["args"] = []string{"/bin/sleep", "100000"}
	}
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	out, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "config.json"), out, 0o644)
}

// startTarget starts the container that exec goes to.
func (b *bench) startTarget(r *bench1) error {
	dir, err := b.bundle("sleep", "target-"+r.name)
	if err != nil {
		return err
	}
	r.target = "target-" + r.name
	for _, args := range [][]string{{"create", "--bundle", dir, r.target}, {"start", r.target}} {
		if _, err := b.spawn(r, args...); err != nil {
			return fmt.Errorf("starting the container for exec: %w", err)
		}
	}
	return nil
}
