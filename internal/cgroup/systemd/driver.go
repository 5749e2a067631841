package systemd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

const (
	service     = "org.freedesktop.systemd1"
	managerPath = "/org/freedesktop/systemd1"
	managerName = "org.freedesktop.systemd1.Manager"

	callTimeout = 10 * time.Second
	jobTimeout  = 30 * time.Second
)

// Driver talks to one systemd manager. It is for one goroutine.
type Driver struct {
	conn    *dbus.Conn
	user    bool
	version int
	bus     bool // a bus is between us and systemd
}

// Open connects to the system's manager, through the bus or, where that does not run, at its
// own socket; rootless, to the user's manager.
func Open(rootless bool) (*Driver, error) {
	deadline := time.Now().Add(callTimeout)
	if rootless {
		addr, err := userBus(os.Getenv)
		if err != nil {
			return nil, err
		}
		c, err := dbus.Dial(addr, deadline)
		if err != nil {
			return nil, fmt.Errorf("reach the user's systemd (is dbus-user-session installed?): %w", err)
		}
		return start(c, true, true)
	}
	addr := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")
	if addr == "" {
		addr = "unix:path=/run/dbus/system_bus_socket"
	}
	c, err := dbus.Dial(addr, deadline)
	if err == nil {
		return start(c, false, true)
	}
	c, perr := dbus.DialPeer("unix:path=/run/systemd/private", deadline)
	if perr != nil {
		return nil, fmt.Errorf("reach systemd: %w", err)
	}
	return start(c, false, false)
}

// userBus finds the address of the user's bus.
func userBus(getenv func(string) string) (string, error) {
	if a := getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" {
		return a, nil
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		var b strings.Builder
		for _, c := range []byte(dir + "/bus") {
			if (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strings.IndexByte("-_/.", c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02x", c)
			}
		}
		return "unix:path=" + b.String(), nil
	}
	return "", errors.New("reach the user's systemd: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")
}

// start subscribes to the ends of jobs before there are any, and learns the version.
func start(c *dbus.Conn, user, bus bool) (*Driver, error) {
	d := &Driver{conn: c, user: user, bus: bus}
	err := d.subscribe()
	if err == nil {
		var v string
		if v, err = d.property("Version"); err == nil {
			d.version, err = parseVersion(v)
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("reach systemd: %w", err)
	}
	return d, nil
}

func (d *Driver) subscribe() error {
	if d.bus {
		rule := "type='signal',sender='" + service + "',interface='" + managerName + "',member='JobRemoved',path='" + managerPath + "'"
		_, err := d.conn.Call(dbus.Message{
			Destination: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus", Interface: "org.freedesktop.DBus",
			Member: "AddMatch", Body: []dbus.Value{dbus.String(rule)},
		}, time.Now().Add(callTimeout))
		if err != nil {
			return err
		}
	}
	_, err := d.call("Subscribe")
	return err
}

// Close ends the connection.
func (d *Driver) Close() error { return d.conn.Close() }

// Version is systemd's, as 252.
func (d *Driver) Version() int { return d.version }

func (d *Driver) call(member string, body ...dbus.Value) (*dbus.Message, error) {
	return d.conn.Call(dbus.Message{
		Destination: service, Path: managerPath, Interface: managerName, Member: member, Body: body,
	}, time.Now().Add(callTimeout))
}

// property reads a string property of the manager.
func (d *Driver) property(name string) (string, error) {
	r, err := d.conn.Call(dbus.Message{
		Destination: service, Path: managerPath, Interface: "org.freedesktop.DBus.Properties", Member: "Get",
		Body: []dbus.Value{dbus.String(managerName), dbus.String(name)},
	}, time.Now().Add(callTimeout))
	if err != nil {
		return "", err
	}
	if len(r.Body) != 1 || r.Body[0].Signature() != "v" || r.Body[0].List()[0].Signature() != "s" {
		return "", fmt.Errorf("systemd's property %s is not a string", name)
	}
	return r.Body[0].List()[0].Str(), nil
}

// parseVersion takes "252.5-2", "v245.4-1.fc32".
func parseVersion(s string) (int, error) {
	t := strings.TrimPrefix(s, "v")
	n := 0
	for n < len(t) && t[n] >= '0' && t[n] <= '9' {
		n++
	}
	v, err := strconv.Atoi(t[:n])
	if err != nil {
		return 0, fmt.Errorf("systemd's version %q is not a number", s)
	}
	return v, nil
}

// job makes a call that starts a job and waits for its end.
func (d *Driver) job(member string, body ...dbus.Value) (result string, err error) {
	r, err := d.call(member, body...)
	if err != nil {
		return "", err
	}
	if len(r.Body) != 1 || r.Body[0].Signature() != "o" {
		return "", fmt.Errorf("systemd's reply to %s has no job", member)
	}
	path := r.Body[0].Str()
	// JobRemoved(u id, o job, s unit, s result)
	s, err := d.conn.WaitSignal(func(m *dbus.Message) bool {
		return m.Member == "JobRemoved" && m.Interface == managerName && len(m.Body) == 4 &&
			m.Body[1].Signature() == "o" && m.Body[1].Str() == path && m.Body[3].Signature() == "s"
	}, time.Now().Add(jobTimeout))
	if err != nil {
		return "", err
	}
	return s.Body[3].Str(), nil
}

func isError(err error, name string) bool {
	var e *dbus.Error
	return errors.As(err, &e) && e.Name == name
}

func wireList(list []Property) dbus.Value {
	values := make([]dbus.Value, len(list))
	for i, p := range list {
		values[i] = p.wire()
	}
	return dbus.Array("(sv)", values...)
}

// Start starts the unit with the process pid in it (0: none).
func (d *Driver) Start(u Unit, pid int, v2 bool, extra []Property, r *specs.LinuxResources) error {
	list := append(unitProperties(u, pid, v2, r), extra...)
	for again := true; ; again = false {
		result, err := d.job("StartTransientUnit", dbus.String(u.Name), dbus.String("replace"), wireList(list), dbus.Array("(sa(sv))"))
		switch {
		case err == nil && result == "done":
			return nil
		case isError(err, service+".UnitExists") && again:
			d.reset(u) // maybe what is left of a failed one
			continue
		case isError(err, service+".UnitExists") && pid <= 0:
			return nil // a slice that others made as well
		case err == nil:
			d.reset(u)
			err = fmt.Errorf("the job ended as %q", result)
		}
		return fmt.Errorf("start the systemd unit %s: %w", u.Name, err)
	}
}

// reset lets systemd forget a unit that failed.
func (d *Driver) reset(u Unit) { d.call("ResetFailedUnit", dbus.String(u.Name)) }

// Stop stops the unit; one that is not there is no error.
func (d *Driver) Stop(u Unit) error {
	_, err := d.job("StopUnit", dbus.String(u.Name), dbus.String("replace"))
	if err != nil {
		if isError(err, service+".NoSuchUnit") {
			return nil
		}
		return fmt.Errorf("stop the systemd unit %s: %w", u.Name, err)
	}
	d.reset(u)
	return nil
}

// Set sets the limits that systemd has properties for, until the next boot.
func (d *Driver) Set(u Unit, v2, devices bool, r *specs.LinuxResources) error {
	list, err := resourceProperties(r, v2, devices, d.version)
	if err != nil || len(list) == 0 {
		return err
	}
	if _, err := d.call("SetUnitProperties", dbus.String(u.Name), dbus.Bool(true), wireList(list)); err != nil {
		return fmt.Errorf("set the properties of the systemd unit %s: %w", u.Name, err)
	}
	return nil
}

// Attach moves a process into the unit, or the sub-group sub of it ("" or "/path"): an ordinary
// user may not write cgroup.procs across the groups of a session.
func (d *Driver) Attach(u Unit, sub string, pid int) error {
	_, err := d.call("AttachProcessesToUnit", dbus.String(u.Name), dbus.String(sub), dbus.Array("u", dbus.Uint32(uint32(pid))))
	if err != nil {
		return fmt.Errorf("add process %d to the systemd unit %s: %w", pid, u.Name, err)
	}
	return nil
}

// Group returns the container's group: the unit's directory in every hierarchy.
func (d *Driver) Group(h *cgroup.Host, u Unit, c cgroup.Config) (*cgroup.Group, error) {
	slice, err := ExpandSlice(u.Slice)
	if err != nil {
		return nil, err
	}
	if u.IsSlice() {
		// The directory of a slice follows from its own name.
		if slice, err = ExpandSlice(u.Name); err != nil {
			return nil, err
		}
		slice = slice[:strings.LastIndexByte(slice, '/')]
	}
	root := ""
	if d.user {
		if h.Mode() != cgroup.V2 {
			return nil, errors.New("systemd cgroups of an ordinary user need a cgroup v2 host")
		}
		if root, err = d.property("ControlGroup"); err != nil {
			return nil, fmt.Errorf("find the cgroup of the user's systemd: %w", err)
		}
	}
	c.Path = root + strings.TrimSuffix(slice, "/") + "/" + u.Name
	c.Adopt = true
	return cgroup.New(h, c)
}

// Create starts the unit with pid in it, makes the directories that systemd does not make
// (v1 controllers that it leaves alone), sets the limits, and puts pid there too, which a cpuset
// without CPUs would not take. When it fails the process is killed, the unit is stopped, and the
// directories are gone.
func (d *Driver) Create(g *cgroup.Group, u Unit, pid int, extra []Property, r *specs.LinuxResources) error {
	_, two := g.Paths()[""]
	v2 := two && len(g.Paths()) == 1
	if err := d.Start(u, pid, v2, extra, r); err != nil {
		return err
	}
	err := func() error {
		if err := g.Create(); err != nil {
			return err
		}
		if err := d.Set(u, v2, true, r); err != nil {
			return err
		}
		if err := g.Apply(r); err != nil || v2 || pid <= 0 {
			return err
		}
		return g.AddProcess(pid, nil, 0)
	}()
	if err != nil {
		if pid > 0 {
			// systemd would ask it to end by SIGTERM, which init of a pid namespace does not
			// hear, and wait. The number is still its own: the caller has not waited for it.
			unix.Kill(pid, unix.SIGKILL)
		}
		return errors.Join(err, d.Delete(g, u))
	}
	return nil
}

// Update changes limits of a running container. When one cannot be set, the files get back what
// they had, and the unit the limits of old, which may be nil.
func (d *Driver) Update(g *cgroup.Group, u Unit, r, old *specs.LinuxResources) error {
	_, two := g.Paths()[""]
	v2 := two && len(g.Paths()) == 1
	if err := cgroup.Validate(r); err != nil {
		return err
	}
	if err := d.Set(u, v2, false, r); err != nil {
		return err
	}
	if err := g.Update(r); err != nil {
		return errors.Join(err, d.Set(u, v2, false, old))
	}
	return nil
}

// Delete stops the unit and removes what systemd leaves.
func (d *Driver) Delete(g *cgroup.Group, u Unit) error {
	return errors.Join(d.Stop(u), g.Delete())
}
