package dbus

import (
	"errors"
	"os/exec"
	"reflect"
	"testing"
	"time"
)

// startDaemon starts Debian's dbus-daemon with a socket in a temporary directory.
func startDaemon(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	addr := "unix:path=" + t.TempDir() + "/bus"
	cmd := exec.Command(bin, "--session", "--nofork", "--nopidfile", "--nosyslog", "--address="+addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := Dial(addr, soon())
		if err == nil {
			c.Close()
			return addr
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func bus(member string, body ...Value) Message {
	return Message{Destination: busName, Path: "/org/freedesktop/DBus", Interface: busName, Member: member, Body: body}
}

// TestRootDaemon lets the reference implementation check and carry every type between two of
// our connections: it ends the connection at the first byte that is not well-formed.
func TestRootDaemon(t *testing.T) {
	addr := startDaemon(t)
	server, err := Dial(addr, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := Dial(addr, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.Name() == "" || client.Name() == server.Name() {
		t.Errorf("names %q and %q", client.Name(), server.Name())
	}
	if _, err := server.Call(bus("RequestName", String("org.example.Hull"), Uint32(0)), soon()); err != nil {
		t.Fatal(err)
	}
	body := everyType()
	go func() {
		m, err := server.NextCall(soon())
		if err != nil {
			return
		}
		server.Send(Message{Kind: MethodReturn, ReplySerial: m.Serial, Destination: m.Sender, Body: m.Body}, soon())
	}()
	r, err := client.Call(Message{Destination: "org.example.Hull", Path: "/", Interface: "org.example.Hull", Member: "Echo", Body: body}, soon())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Body, body) {
		t.Errorf("got  %+v\nwant %+v", r.Body, body)
	}
	var e *Error
	_, err = client.Call(bus("NoSuchMethod"), soon())
	if !errors.As(err, &e) || e.Name != "org.freedesktop.DBus.Error.UnknownMethod" || e.Text == "" {
		t.Errorf("got %v", err)
	}
}

func TestRootSignal(t *testing.T) {
	addr := startDaemon(t)
	a, err := Dial(addr, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Dial(addr, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := a.Call(bus("AddMatch", String("type='signal',interface='org.example.Hull'")), soon()); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(3) {
		if _, err := b.Send(Message{Kind: Signal, Path: "/", Interface: "org.example.Hull", Member: "Tick", Body: []Value{Uint32(i)}}, soon()); err != nil {
			t.Fatal(err)
		}
	}
	// A call in between keeps the signals that overtake its reply.
	if _, err := b.Call(bus("GetId"), soon()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(bus("GetId"), soon()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint64{0, 2} {
		m, err := a.WaitSignal(func(m *Message) bool { return m.Member == "Tick" && m.Body[0].Uint() == want }, soon())
		if err != nil || m.Sender != b.Name() {
			t.Errorf("%d: %v, %v", want, m, err)
		}
	}
	if _, err := a.WaitSignal(func(*Message) bool { return true }, time.Now().Add(20*time.Millisecond)); err == nil {
		t.Error("a fourth signal came")
	}
}
