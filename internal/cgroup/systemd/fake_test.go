package systemd

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

func soon() time.Time { return time.Now().Add(10 * time.Second) }

// fakeManager plays systemd: it keeps units and refuses what systemd refuses.
type fakeManager struct {
	t          *testing.T
	mu         sync.Mutex
	units      map[string]map[string]dbus.Value
	failed     []string // units that are left over until ResetFailedUnit
	jobResult  string
	subscribed bool
	version    string
	log        []string
	onStart    func(unit string, props map[string]dbus.Value)
	onAttach   func(unit, sub string, pid uint64)
}

func newFake(t *testing.T) *fakeManager {
	return &fakeManager{t: t, units: map[string]map[string]dbus.Value{}, jobResult: "done", version: "252.5-2~deb12u1"}
}

// propertyTypes are what systemd's sources register; another type is refused.
var propertyTypes = map[string]string{
	"Description": "s", "Slice": "s", "Wants": "as", "Delegate": "b", "PIDs": "au", "DefaultDependencies": "b",
	"MemoryAccounting": "b", "CPUAccounting": "b", "IOAccounting": "b", "BlockIOAccounting": "b", "TasksAccounting": "b",
	"MemoryMax": "t", "MemoryLow": "t", "MemoryMin": "t", "MemoryHigh": "t", "MemorySwapMax": "t", "MemoryLimit": "t", "TasksMax": "t",
	"CPUWeight": "t", "CPUShares": "t", "CPUQuotaPerSecUSec": "t", "CPUQuotaPeriodUSec": "t", "BlockIOWeight": "t",
	"AllowedCPUs": "ay", "AllowedMemoryNodes": "ay", "DevicePolicy": "s", "DeviceAllow": "a(ss)",
	"TimeoutStopUSec": "t", "CollectMode": "s", "OOMPolicy": "s",
}

func (f *fakeManager) properties(v dbus.Value) (map[string]dbus.Value, string) {
	m := map[string]dbus.Value{}
	for _, p := range v.List() {
		name, val := p.List()[0].Str(), p.List()[1].List()[0]
		if want := propertyTypes[name]; want == "" || want != val.Signature() {
			return nil, fmt.Sprintf("property %s of type %s", name, val.Signature())
		}
		m[name] = val
	}
	return m, ""
}

// handle answers one call: replies and signals, in the order in which they go out.
func (f *fakeManager) handle(m *dbus.Message) []dbus.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	sig := ""
	for _, v := range m.Body {
		sig += v.Signature()
	}
	f.log = append(f.log, m.Member)
	fail := func(name, text string) []dbus.Message {
		return []dbus.Message{{Kind: dbus.ErrorReply, ReplySerial: m.Serial, Destination: m.Sender, ErrorName: name, Body: []dbus.Value{dbus.String(text)}}}
	}
	ok := func(body ...dbus.Value) dbus.Message {
		return dbus.Message{Kind: dbus.MethodReturn, ReplySerial: m.Serial, Destination: m.Sender, Body: body}
	}
	removed := func(job, unit, result string) dbus.Message {
		return dbus.Message{Kind: dbus.Signal, Path: managerPath, Interface: managerName, Member: "JobRemoved",
			Body: []dbus.Value{dbus.Uint32(7), dbus.ObjectPath(job), dbus.String(unit), dbus.String(result)}}
	}
	want := map[string]string{
		"Hello": "", "AddMatch": "s", "Subscribe": "", "Get": "ss", "StartTransientUnit": "ssa(sv)a(sa(sv))", "StopUnit": "ss",
		"SetUnitProperties": "sba(sv)", "ResetFailedUnit": "s", "AttachProcessesToUnit": "ssau",
	}
	if w, known := want[m.Member]; !known || w != sig {
		return fail("org.freedesktop.DBus.Error.InvalidArgs", m.Member+" with "+sig)
	}
	unit := ""
	if len(m.Body) > 0 {
		unit = m.Body[0].Str()
	}
	job := "/org/freedesktop/systemd1/job/42"
	switch m.Member {
	case "Hello":
		return []dbus.Message{ok(dbus.String(":1.9"))}
	case "AddMatch":
		return []dbus.Message{ok()}
	case "Subscribe":
		f.subscribed = true
		return []dbus.Message{ok()}
	case "Get":
		switch m.Body[1].Str() {
		case "Version":
			return []dbus.Message{ok(dbus.Variant(dbus.String(f.version)))}
		case "ControlGroup":
			return []dbus.Message{ok(dbus.Variant(dbus.String("/user.slice/user-1000.slice/user@1000.service")))}
		}
	case "StartTransientUnit":
		if f.units[unit] != nil || slices.Contains(f.failed, unit) {
			return fail(service+".UnitExists", "Unit "+unit+" already exists.")
		}
		props, bad := f.properties(m.Body[2])
		if bad != "" || !f.subscribed {
			return fail("org.freedesktop.DBus.Error.InvalidArgs", bad)
		}
		if f.jobResult == "done" {
			f.units[unit] = props
			if f.onStart != nil {
				f.onStart(unit, props)
			}
		} else {
			f.failed = append(f.failed, unit)
		}
		// Another job ends first, and ours before its reply is out.
		return []dbus.Message{removed("/org/freedesktop/systemd1/job/1", "x.scope", "failed"), removed(job, unit, f.jobResult), ok(dbus.ObjectPath(job))}
	case "StopUnit":
		if f.units[unit] == nil {
			return fail(service+".NoSuchUnit", "Unit "+unit+" not loaded.")
		}
		delete(f.units, unit)
		return []dbus.Message{ok(dbus.ObjectPath(job)), removed("/org/freedesktop/systemd1/job/1", unit, "failed"), removed(job, unit, "done")}
	case "SetUnitProperties":
		if f.units[unit] == nil {
			return fail(service+".NoSuchUnit", "Unit "+unit+" not loaded.")
		}
		props, bad := f.properties(m.Body[2])
		if bad != "" {
			return fail("org.freedesktop.DBus.Error.InvalidArgs", bad)
		}
		for k, v := range props {
			f.units[unit][k] = v
		}
		return []dbus.Message{ok()}
	case "ResetFailedUnit":
		i := slices.Index(f.failed, unit)
		if i < 0 {
			return fail(service+".NoSuchUnit", "Unit "+unit+" not loaded.")
		}
		f.failed = slices.Delete(f.failed, i, i+1)
		return []dbus.Message{ok()}
	case "AttachProcessesToUnit":
		if f.units[unit] == nil || m.Body[1].Str() != "" && !strings.HasPrefix(m.Body[1].Str(), "/") {
			return fail("org.freedesktop.DBus.Error.InvalidArgs", "bad sub-group")
		}
		f.log[len(f.log)-1] += fmt.Sprint(m.Body[1].Str(), " ", m.Body[2].List()[0].Uint())
		if f.onAttach != nil {
			f.onAttach(unit, m.Body[1].Str(), m.Body[2].List()[0].Uint())
		}
		return []dbus.Message{ok()}
	}
	return fail("org.freedesktop.DBus.Error.UnknownProperty", "?")
}

// listen serves the fake in this process: a bus and a manager in one.
func (f *fakeManager) listen() string {
	path := f.t.TempDir() + "/bus"
	l, err := net.Listen("unix", path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	return "unix:path=" + path
}

func (f *fakeManager) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for _, s := range []string{"\x00AUTH EXTERNAL|DATA", "DATA|OK 00", "BEGIN|"} {
		want, say, _ := strings.Cut(s, "|")
		if line, err := r.ReadString('\n'); err != nil || strings.TrimSuffix(line, "\r\n") != want {
			return
		}
		if say != "" {
			io.WriteString(c, say+"\r\n")
		}
	}
	for serial := uint32(1); ; {
		head := make([]byte, 16)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		rest := make([]byte, (binary.LittleEndian.Uint32(head[12:])+7)&^7+binary.LittleEndian.Uint32(head[4:]))
		if _, err := io.ReadFull(r, rest); err != nil {
			return
		}
		m, err := dbus.Decode(append(head, rest...))
		if err != nil {
			f.t.Error(err)
			return
		}
		for _, out := range f.handle(m) {
			out.Serial = serial
			serial++
			b, err := out.Encode()
			if err != nil {
				f.t.Error(err)
				return
			}
			c.Write(b)
		}
	}
}

// onDaemon serves the fake behind Debian's dbus-daemon.
func (f *fakeManager) onDaemon() string {
	t := f.t
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
	var c *dbus.Conn
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err = dbus.Dial(addr, soon()); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	_, err = c.Call(dbus.Message{Destination: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus", Interface: "org.freedesktop.DBus",
		Member: "RequestName", Body: []dbus.Value{dbus.String(service), dbus.Uint32(0)}}, soon())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.Close()
		for {
			m, err := c.NextCall(time.Now().Add(time.Minute))
			if err != nil {
				return
			}
			for _, out := range f.handle(m) {
				if _, err := c.Send(out, soon()); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() { cmd.Process.Kill(); <-done })
	return addr
}

// open points the driver at a fake.
func (f *fakeManager) open(addr string, rootless bool) *Driver {
	f.t.Helper()
	if rootless {
		f.t.Setenv("DBUS_SESSION_BUS_ADDRESS", addr)
	} else {
		f.t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", addr)
	}
	d, err := Open(rootless)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { d.Close() })
	return d
}

func TestMain(m *testing.M) {
	os.Unsetenv("DBUS_SESSION_BUS_ADDRESS")
	os.Exit(m.Run())
}
