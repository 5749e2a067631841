package sigpipe

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Every signal comes once, in order, while the threads of the program are busy with Go code and
// its garbage collector.
func TestSignalsArrive(t *testing.T) {
	fd, err := Open(unix.SIGUSR1, unix.SIGWINCH)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan bool)
	go func() {
		var keep [][]byte
		for {
			select {
			case <-stop:
				return
			default:
				keep = append(keep[:len(keep)%100], make([]byte, 1000))
				runtime.GC()
			}
		}
	}()
	defer close(stop)
	for i := range 200 {
		want := unix.SIGUSR1
		if i%3 == 0 {
			want = unix.SIGWINCH
		}
		if err := unix.Kill(os.Getpid(), want); err != nil {
			t.Fatal(err)
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if n, err := unix.Poll(p, 5000); err == unix.EINTR {
				continue
			} else if err != nil || n != 1 {
				t.Fatalf("signal %d of 200 does not come: %d, %v", i, n, err)
			}
			break
		}
		var b [4]byte
		if n, err := unix.Read(fd, b[:]); n != 1 || err != nil || b[0] != byte(want) {
			t.Fatalf("signal %d of 200: read %d, %v, byte %d; want %d", i, n, err, b[0], want)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the pipe stays open on exec: %#x, %v", flags, err)
	}
}
