package launch

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A child is born in another process's pid namespace, and the calling thread is back in its
// own: threads can still be made from it.
func TestRootPidNS(t *testing.T) {
	first := New()
	first.Call("pause", unix.SYS_PPOLL, Int(0), Int(0), Int(0), Int(0), Int(0))
	init, err := first.Start(Clone{Flags: unix.CLONE_NEWPID})
	if err != nil {
		t.Fatal(err)
	}
	defer init.Kill()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := New()
	pid := p.Slot("pid")
	p.Call("getpid", unix.SYS_GETPID).Out(pid)
	p.Notify(1, pid)
	p.Exit(0)
	c, err := p.Start(Clone{PidNS: init.PidFD})
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Next()
	if err != nil || n.Value != 2 {
		t.Errorf("its pid is %d, %v; want 2 in the namespace", n.Value, err)
	}
	finish(t, c)
	own, err := os.Readlink("/proc/thread-self/ns/pid_for_children")
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := os.Readlink("/proc/self/ns/pid"); own != want {
		t.Errorf("the thread's children would be in %s, not in %s", own, want)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() { defer wg.Done(); runtime.LockOSThread() }() // a thread each
	}
	wg.Wait()

	bad, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(bad)
	if _, err := New().Start(Clone{PidNS: bad}); err == nil {
		t.Error("a network namespace is taken for a pid namespace")
	}
}
