package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

type bench struct {
	o       options
	dir     string
	engines []*engine
	api     *api
}

// errAbsent is of a case that an engine does not have.
var errAbsent = errors.New("there is no such thing")

// newBench starts the engines that are installed.
func newBench(o options) (_ *bench, err error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making the mounts private: %w", err)
	}
	// What is mounted over /sys by the host shows its network; the engines look there for bridges.
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("bringing loopback up: %w: %s", err, out)
	}
	dir, err := os.MkdirTemp("/dev/shm", "hull-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{o: o, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	image, err := picture()
	if err != nil {
		return nil, err
	}
	own := func(name string) (string, error) {
		d := filepath.Join(dir, name)
		return d, os.Mkdir(d, 0o700)
	}
	for _, name := range []string{"hull", "docker", "podman"} {
		if !o.only.MatchString(name) {
			continue
		}
		d, err := own(name)
		if err != nil {
			return nil, err
		}
		var e *engine
		switch {
		case name == "hull":
			e = hull(d, o.bin)
			b.api = newAPI(e.socket)
		case find(map[string]string{"docker": "dockerd", "podman": "podman"}[name]) == "":
			fmt.Fprintf(os.Stderr, "bench: %s is left out: it is not installed\n", name)
			continue
		case name == "docker":
			if e, err = docker(d); err != nil {
				return nil, err
			}
		default:
			if e, err = podman(d); err != nil {
				return nil, err
			}
		}
		b.engines = append(b.engines, e)
		if err := e.start(image); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// picture is the image: a tar of busybox-static.
func picture() ([]byte, error) {
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("busybox-static is the image's program: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data []byte) {
		h.Size = int64(len(data))
		err = errors.Join(err, w.WriteHeader(&h))
		_, e := w.Write(data)
		err = errors.Join(err, e)
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "root", "sys", "tmp"} {
		add(tar.Header{Name: d + "/", Mode: 0o755, Typeflag: tar.TypeDir}, nil)
	}
	add(tar.Header{Name: "bin/busybox", Mode: 0o755, Typeflag: tar.TypeReg}, box)
	for _, a := range []string{"sh", "true", "sleep", "echo"} {
		add(tar.Header{Name: "bin/" + a, Linkname: "busybox", Mode: 0o777, Typeflag: tar.TypeSymlink}, nil)
	}
	add(tar.Header{Name: "etc/passwd", Mode: 0o644, Typeflag: tar.TypeReg}, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	add(tar.Header{Name: "etc/group", Mode: 0o644, Typeflag: tar.TypeReg}, []byte("root:x:0:\n"))
	for _, f := range []string{"hosts", "hostname", "resolv.conf"} { // as images have them
		add(tar.Header{Name: "etc/" + f, Mode: 0o644, Typeflag: tar.TypeReg}, nil)
	}
	return b.Bytes(), errors.Join(err, w.Close())
}

// runAll runs the rounds, the first of which does not count. A case that an engine cannot do
// is left out for it, and said. The end of ctx is the end of the rounds.
func (b *bench) runAll(ctx context.Context) error {
	failed := map[string]bool{}
	for _, c := range cases {
		if !b.o.cases.MatchString(c.name) {
			continue
		}
		first, rounds := -1, b.o.rounds
		if c.once {
			first, rounds = 0, 1
		}
		for round := first; round < rounds; round++ {
			for k := range b.engines {
				e := b.engines[(k+round+len(b.engines))%len(b.engines)]
				if c.hull && e.name != "hull" || failed[e.name+c.name] {
					continue
				}
				s, err := c.run(b, e)
				if ctx.Err() != nil {
					return nil
				}
				if errors.Is(err, errAbsent) {
					continue
				}
				if err != nil && e.name == "hull" {
					return fmt.Errorf("case %q: %w\n%s", c.name, err, e.log())
				}
				if err != nil {
					failed[e.name+c.name] = true
					text, _, _ := strings.Cut(err.Error(), "\n")
					fmt.Fprintf(os.Stderr, "bench: case %q is left out for %s: %s\n", c.name, e.name, text[:min(len(text), 300)])
					continue
				}
				if round >= 0 {
					e.samples[c.name] = append(e.samples[c.name], s)
				}
			}
		}
	}
	return nil
}

// close ends the engines and removes all that was made.
func (b *bench) close() error {
	var errs []error
	for _, e := range b.engines {
		if err := e.stop(); err != nil {
			errs = append(errs, fmt.Errorf("cleaning up: %w", err))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}
