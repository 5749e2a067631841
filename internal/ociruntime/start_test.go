package ociruntime

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadRecord(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes []string
		want   []byte
	}{
		{"the program runs", nil, nil},
		{"a step failed", []string{"12345678"}, []byte("12345678")},
		{"in two writes", []string{"123", "45678"}, []byte("12345678")},
		{"init died in the middle", []string{"123"}, nil},
	} {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		go func() {
			for _, w := range c.writes {
				unix.Write(p[1], []byte(w))
			}
			unix.Close(p[1])
		}()
		if got, err := readRecord(p[0]); err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
		unix.Close(p[0])
	}
}

// fifos makes the two FIFOs of a created container and opens both as init does.
func fifos(t *testing.T, dir string) (start, status int) {
	t.Helper()
	for name, fd := range map[string]*int{startFifo: &start, statusFifo: &status} {
		name = filepath.Join(dir, name)
		err := unix.Mkfifo(name, 0o600)
		if err == nil {
			*fd, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return start, status
}

func TestReleaseReportsTheFailingStep(t *testing.T) {
	c := &Container{State: State{ID: "c"}, dir: t.TempDir()}
	start, status := fifos(t, c.dir)
	go func() {
		b := make([]byte, 1)
		unix.Read(start, b)
		unix.Write(status, []byte{9, 0, 0, 128, byte(unix.ENOEXEC), 0, 0, 0})
		unix.Close(status)
		unix.Close(start)
	}()
	err := c.release("/prog", nil)
	if !errors.Is(err, unix.ENOEXEC) || !strings.Contains(err.Error(), `exec: "/prog"`) {
		t.Errorf("release: %v", err)
	}
	if c.waits() {
		t.Error("the start FIFO is still there: the container would be created for ever")
	}
}

func TestReleaseWithoutInit(t *testing.T) {
	c := &Container{State: State{ID: "c"}, dir: t.TempDir()}
	start, status := fifos(t, c.dir)
	unix.Close(start)
	unix.Close(status)
	if err := c.release("/prog", nil); !errors.Is(err, unix.ENXIO) {
		t.Errorf("nobody reads the start FIFO: %v, want ENXIO (and no hang)", err)
	}
}

// TestWaits: a start FIFO that init no longer reads is a name that a killed `start` has left.
func TestWaits(t *testing.T) {
	c := &Container{State: State{ID: "c"}, dir: t.TempDir()}
	if c.waits() {
		t.Error("a container without a start FIFO waits")
	}
	start, status := fifos(t, c.dir)
	if !c.waits() {
		t.Error("init reads the start FIFO, and the container does not wait")
	}
	unix.Close(start)
	unix.Close(status)
	if c.waits() {
		t.Error("nobody reads the start FIFO, and the container waits")
	}
}
