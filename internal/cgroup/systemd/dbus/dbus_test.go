package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func soon() time.Time { return time.Now().Add(5 * time.Second) }

// everyType is a body with each type, nested, at awkward alignments.
func everyType() []Value {
	return []Value{
		Byte(7), Bool(true), Byte(1), Int16(-2), Uint16(65535), Int32(-3), Uint32(4), Byte(0), Int64(-5), Uint64(1<<64 - 1), Double(1.5),
		String("grüße"), ObjectPath("/a/b"), Signature("a{sv}"), Byte(9),
		Strings("x", ""), Bytes([]byte{1, 2}), Array("t"), Array("(ss)", Struct(String("a"), String("b"))),
		Struct(Byte(1), Struct(Uint64(2)), Array("y")),
		Variant(Variant(Array("u", Uint32(1)))),
		{sig: "a{sv}", list: []Value{{sig: "{sv}", list: []Value{String("k"), Variant(Uint32(1))}}}},
	}
}

func TestRoundTrip(t *testing.T) {
	m := Message{
		Kind: MethodCall, Flags: 1, Serial: 42, Path: "/p", Interface: "a.b", Member: "M",
		ErrorName: "e.f", ReplySerial: 3, Destination: "d.d", Sender: ":1.1", Body: everyType(),
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, &m) {
		t.Errorf("got  %+v\nwant %+v", got, &m)
	}
}

// TestWire holds the wire form of a Hello as dbus-daemon takes it.
func TestWire(t *testing.T) {
	m := Message{Kind: MethodCall, Serial: 1, Path: "/o", Member: "Hi", Body: []Value{Uint32(5), String("x")}}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := "l\x01\x00\x01" + "\x0a\x00\x00\x00" + "\x01\x00\x00\x00" + "\x28\x00\x00\x00" +
		"\x01\x01o\x00\x02\x00\x00\x00/o\x00\x00\x00\x00\x00\x00" +
		"\x03\x01s\x00\x02\x00\x00\x00Hi\x00\x00\x00\x00\x00\x00" +
		"\x08\x01g\x00\x02us\x00" +
		"\x05\x00\x00\x00" + "\x01\x00\x00\x00x\x00"
	if string(b) != want {
		t.Errorf("got  %q\nwant %q", b, want)
	}
}

func TestBigEndian(t *testing.T) {
	b := []byte("B\x02\x00\x01\x00\x00\x00\x04\x00\x00\x00\x09\x00\x00\x00\x0f" +
		"\x05\x01u\x00\x00\x00\x00\x07\x08\x01g\x00\x01u\x00\x00" + "\x00\x00\x01\x02")
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != MethodReturn || m.Serial != 9 || m.ReplySerial != 7 || len(m.Body) != 1 || m.Body[0].Uint() != 258 {
		t.Errorf("%+v", m)
	}
}

func TestSignatures(t *testing.T) {
	for sig, want := range map[string]string{
		"u": "u", "us": "u", "asu": "as", "a(sa{sv})x": "a(sa{sv})", "(y(t)ay)": "(y(t)ay)", "a{s(ii)}": "a{s(ii)}",
		"": "!", "a": "!", "(": "!", "()": "!", "(u": "!", "{sv}": "!", "a{vs}": "!", "a{s}": "!", "a{svv}": "!", "z": "!", "a{s": "!",
		strings.Repeat("a", 40) + "u": "!", strings.Repeat("(", 40) + "u" + strings.Repeat(")", 40): "!",
	} {
		first, rest, err := nextType(sig, 0)
		if err != nil {
			first = "!"
		}
		if first != want || err == nil && first+rest != sig {
			t.Errorf("%q: %q, %q, %v", sig, first, rest, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, v := range []Value{
		{}, {sig: "a"}, {sig: "z"}, String("a\x00b"), String("\xff"), {sig: "v"}, {sig: "(us)", list: []Value{Uint32(1)}},
		Array("s", Uint32(1)), Signature(strings.Repeat("u", 256)), String(strings.Repeat("x", maxMessage)),
	} {
		m := Message{Kind: MethodCall, Serial: 1, Body: []Value{v}}
		if _, err := m.Encode(); err == nil {
			t.Errorf("%+.60v was encoded", v)
		}
	}
	deep := Uint32(1)
	for range 100 {
		deep = Variant(deep)
	}
	m := Message{Kind: MethodCall, Serial: 1, Body: []Value{deep}}
	if _, err := m.Encode(); err == nil {
		t.Error("100 nested variants were encoded")
	}
}

// TestDecodeBounds: sizes that the message claims must not be believed.
func TestDecodeBounds(t *testing.T) {
	good, err := (&Message{Kind: Signal, Serial: 1, Path: "/p", Body: everyType()}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := Decode(good[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were taken", n, len(good))
		}
	}
	huge := []byte("l\x04\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff")
	if _, err := messageSize(huge); err == nil {
		t.Error("a message of 8 GiB was taken")
	}
	// An array that claims 4 GiB inside a small message.
	small, _ := (&Message{Kind: Signal, Serial: 1, Path: "/p", Body: []Value{Bytes([]byte{1, 2, 3, 4})}}).Encode()
	binary.LittleEndian.PutUint32(small[len(small)-8:], 0xfffffff0)
	if _, err := Decode(small); err == nil {
		t.Error("an array larger than its message was taken")
	}
	// Many values in a message of allowed size.
	many, err := (&Message{Kind: Signal, Serial: 1, Path: "/p", Body: []Value{Bytes(make([]byte, maxValues+1))}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(many); err == nil {
		t.Error("too many values were taken")
	}
}

func TestParseAddress(t *testing.T) {
	for a, want := range map[string]string{
		"unix:path=/run/x":                 "/run/x",
		"unix:guid=1,path=/run/a%20b":      "/run/a b",
		"unix:abstract=/tmp/dbus,guid=abc": "@/tmp/dbus",
		"tcp:host=localhost":               "!", "unix:": "!", "unix:path=relative": "!", "unix:path=/a%2": "!", "unix:path=/a%zz": "!",
		"unix:path=/" + strings.Repeat("a", 200): "!", "unix:path=/a%00b": "!",
	} {
		sa, err := parseAddress(a)
		got := "!"
		if err == nil {
			got = sa.Name
		}
		if got != want {
			t.Errorf("%s: %q, %v", a, got, err)
		}
	}
}

// fakeServer listens and plays a script of strings: "<" is read and compared, ">" is written.
func fakeServer(t *testing.T, script ...string) string {
	t.Helper()
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		for _, s := range script {
			if s[0] == '>' {
				c.Write([]byte(s[1:]))
				continue
			}
			b := make([]byte, len(s)-1)
			for n := 0; n < len(b); {
				k, err := c.Read(b[n:])
				if err != nil {
					done <- fmt.Errorf("want %q, got %q, %v", s[1:], b[:n], err)
					return
				}
				n += k
			}
			if string(b) != s[1:] {
				done <- fmt.Errorf("want %q, got %q", s[1:], b)
				return
			}
		}
		done <- nil
	}()
	t.Cleanup(func() {
		select {
		case err := <-done:
			if err != nil {
				t.Error("the server: ", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("the client did not play its part")
		}
	})
	return "unix:path=" + path
}

func TestAuthentication(t *testing.T) {
	addr := fakeServer(t, "<\x00AUTH EXTERNAL\r\n", ">DA", ">TA\r\n", "<DATA\r\n", ">OK 0123\r\n", "<BEGIN\r\n")
	c, err := DialPeer("tcp:host=x;"+addr, soon())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	addr = fakeServer(t, "<\x00AUTH EXTERNAL\r\n", ">REJECTED ANONYMOUS\r\n")
	if _, err := DialPeer(addr, soon()); err == nil || !strings.Contains(err.Error(), "REJECTED ANONYMOUS") {
		t.Error(err)
	}
	addr = fakeServer(t, "<\x00AUTH EXTERNAL\r\n", ">"+strings.Repeat("x", 20000))
	if _, err := DialPeer(addr, soon()); err == nil {
		t.Error("an endless line was taken")
	}
	if _, err := DialPeer(";", soon()); err == nil {
		t.Error("no address was taken")
	}
}

func TestDeadline(t *testing.T) {
	addr := fakeServer(t, "<\x00AUTH EXTERNAL\r\n")
	begin := time.Now()
	_, err := DialPeer(addr, time.Now().Add(50*time.Millisecond))
	if !errors.Is(err, os.ErrDeadlineExceeded) && err == nil || time.Since(begin) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// FuzzDecode: no input crashes the decoder, and what it takes it can write again.
func FuzzDecode(f *testing.F) {
	for _, body := range [][]Value{nil, everyType(), {Strings("a", "b")}} {
		b, err := (&Message{Kind: Signal, Serial: 1, Path: "/p", Interface: "i.i", Member: "m", Body: body}).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("B\x02\x00\x01\x00\x00\x00\x04\x00\x00\x00\x09\x00\x00\x00\x0f\x05\x01u\x00\x00\x00\x00\x07\x08\x01g\x00\x01u\x00\x00\x00\x00\x01\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= fixedHeader {
			if n, err := messageSize(b); err == nil && (n < fixedHeader || n > maxMessage) {
				t.Fatalf("size %d", n)
			}
		}
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			return // deeper nested than we send
		}
		m2, err := Decode(again)
		if err != nil {
			t.Fatalf("%v: %+v", err, m)
		}
		if fmt.Sprintf("%+v", m) != fmt.Sprintf("%+v", m2) {
			t.Fatalf("%+v\n%+v", m, m2)
		}
	})
}
