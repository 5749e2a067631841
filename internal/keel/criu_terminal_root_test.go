package keel

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// console listens for the terminal of a container.
func console(t *testing.T) (path string, master func() *os.File) {
	t.Helper()
	dir, err := os.MkdirTemp("", "console")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, func() *os.File {
		t.Helper()
		l.SetDeadline(time.Now().Add(10 * time.Second))
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		buf, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := conn.ReadMsgUnix(buf, oob)
		msgs, err2 := unix.ParseSocketControlMessage(oob[:n])
		if err = errors.Join(err, err2); err != nil || len(msgs) != 1 {
			t.Fatalf("the terminal: %v", err)
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(fds[0], true)
		f := os.NewFile(uintptr(fds[0]), "master")
		t.Cleanup(func() { f.Close() })
		f.SetReadDeadline(time.Now().Add(10 * time.Second))
		return f
	}
}

func TestRootCheckpointTerminal(t *testing.T) {
	b := newCriuBox(t, func(s *specs.Spec) { s.Process.Terminal = true },
		"sh", "-c", `x=before; while read word; do echo "$x $word"; x=$word; done`)
	say := func(f *os.File, word, want string) {
		t.Helper()
		f.WriteString(word + "\n")
		text, buf := "", make([]byte, 256)
		for !strings.Contains(text, want) {
			n, err := f.Read(buf)
			if err != nil {
				t.Fatalf("want %q on the terminal: %v, after %q", want, err, text)
			}
			text += string(buf[:n])
		}
	}
	path, master := console(t)
	got := make(chan *os.File, 1)
	go func() { got <- master() }()
	b.ok("create", "-b", b.bundle, "--console-socket", path, "c")
	f := <-got
	b.ok("start", "c")
	say(f, "one", "before one")
	b.checkpoint("c")
	b.refused(1, "cannot allocate tty", "--criu", b.criu, "restore", "-d", "--image-path", b.images, "-b", b.bundle, "c")
	b.gone("c", 0)

	path, master = console(t)
	go func() { got <- master() }()
	b.restore("c", "--console-socket", path)
	f = <-got
	say(f, "two", "one two") // the shell knows the word from before
	b.ok("kill", "c", "KILL")
	b.becomes("c", "stopped")
}
