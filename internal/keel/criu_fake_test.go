package keel

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test program be what the tests start: a criu of their own, and a program with
// threads in a container.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "swrk":
		fakeCriu(os.Args[2], os.Getenv("CRIU_FAKE"), os.Getenv("CRIU_RECORD"))
	case filepath.Base(os.Args[0]) == "locker":
		locker()
	}
	os.Exit(m.Run())
}

// locker holds a lock and counts.
func locker() {
	f, err := os.Create("/tmp/lock")
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	for i := 1; err == nil; i++ {
		if err = os.WriteFile("/tmp/next", []byte(strconv.Itoa(i)), 0o644); err == nil {
			err = os.Rename("/tmp/next", "/tmp/count")
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// wire is a protocol buffer message, field number to values: numbers, or bytes as strings.
type wire map[int][]any

// parseWire is a second reader of the encoding, to check the first.
func parseWire(b []byte) wire {
	out := wire{}
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		b = b[n:]
		v, n := binary.Uvarint(b)
		b = b[n:]
		switch field := int(key >> 3); key & 7 {
		case 0:
			out[field] = append(out[field], int64(v))
		case 2:
			out[field] = append(out[field], string(b[:v]))
			b = b[v:]
		default:
			panic(fmt.Sprintf("wire type %d", key&7))
		}
	}
	return out
}

func (w wire) number(field int) int64 {
	if len(w[field]) != 1 {
		return -1
	}
	return w[field][0].(int64)
}

func field(n int, v any) []byte {
	switch v := v.(type) {
	case int:
		return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n)<<3), uint64(v))
	case []byte:
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n)<<3|2), uint64(len(v))), v...)
	}
	panic("field")
}

func message(fields ...[]byte) (m []byte) {
	for _, f := range fields {
		m = append(m, f...)
	}
	return m
}

// Kinds of messages (rpc.proto).
const (
	kindDump, kindPreDump, kindNotify, kindFeatures, kindVersion = 1, 4, 6, 9, 10
)

// fakeCriu serves on a socket as criu 3.17 would that does nothing, in a manner that a test asks
// for. It exits with status 9 at what no client may send.
func fakeCriu(socket, mode, record string) {
	sock, err := strconv.Atoi(socket)
	impossible := func(what any) {
		fmt.Fprintln(os.Stderr, "fake criu:", what)
		os.Exit(9)
	}
	if err != nil {
		impossible(err)
	}
	buf := make([]byte, 1<<16)
	receive := func() wire {
		n, err := unix.Read(sock, buf)
		if err != nil {
			impossible(err)
		}
		if n == 0 {
			os.Exit(1) // as criu does after a pre-dump
		}
		return parseWire(buf[:n])
	}
	send := func(fields ...[]byte) {
		if err := unix.Send(sock, message(fields...), unix.MSG_NOSIGNAL); err != nil {
			impossible(err)
		}
	}
	for {
		req := receive()
		switch kind := req.number(1); kind {
		case kindFeatures:
			yes := 1
			if mode == "featureless" {
				yes = 0
			}
			send(field(1, kindFeatures), field(2, 1), field(8, message(field(1, yes), field(2, yes))))
			os.Exit(0)
		case kindVersion:
			if req.number(4) != 1 {
				impossible("a VERSION that does not keep the connection open ends it")
			}
			minor := 17
			if mode == "old" {
				minor = 15
			}
			send(field(1, kindVersion), field(2, 1), field(10, message(field(1, 3), field(2, minor), field(4, 1))))
		case kindDump, kindPreDump:
			if os.WriteFile(record, []byte(req[2][0].(string)), 0o600) != nil {
				impossible("no record")
			}
			switch mode {
			case "garbage":
				unix.Send(sock, []byte{0xff, 0xff, 0xff}, 0)
				os.Exit(0)
			case "huge":
				unix.Send(sock, make([]byte, 100<<10), 0)
				os.Exit(0)
			case "other":
				send(field(1, kindVersion), field(2, 1))
				os.Exit(0)
			}
			for _, script := range []string{"pre-dump", "status-ready"} {
				send(field(1, kindNotify), field(2, 1), field(5, message(field(1, []byte(script)))))
				if a := receive(); a.number(1) != kindNotify || a.number(3) != 1 {
					impossible(a)
				}
			}
			send(field(1, int(kind)), field(2, 1))
		default:
			impossible(req)
		}
	}
}
