package wire

import (
	"time"

	"github.com/hull-dev/hull/internal/logfile"
)

// Bits of [CreateBody.Has]: which descriptors come with Create, in this order.
const (
	HasRoot = 1 << iota
	HasUserNS
)

// CreateBody is the body of Create. The root and the user namespace are descriptors.
type CreateBody struct {
	ID, Dir       string
	Config        []byte
	Has           uint8
	OpenStdin     bool
	StdinOnce     bool
	Log           logfile.Config
	Runtime       []string
	SystemdCgroup bool
	NoPivot       bool
}

// Append appends the body.
func (c *CreateBody) Append(b []byte) []byte {
	w := Body(b)
	w.String(c.ID)
	w.String(c.Dir)
	w.Bytes(c.Config)
	w.U8(c.Has)
	w.Bool(c.OpenStdin)
	w.Bool(c.StdinOnce)
	appendLog(&w, &c.Log)
	w.Strings(c.Runtime)
	w.Bool(c.SystemdCgroup)
	w.Bool(c.NoPivot)
	return w
}

// ParseCreate reads the body.
func ParseCreate(b []byte) (c CreateBody, err error) {
	f := Read(b)
	c = CreateBody{ID: f.String(), Dir: f.String(), Config: f.Bytes(), Has: f.U8(), OpenStdin: f.Bool(), StdinOnce: f.Bool(), Log: readLog(f),
		Runtime: f.Strings(), SystemdCgroup: f.Bool(), NoPivot: f.Bool()}
	return c, f.Err()
}

func appendLog(w *Body, l *logfile.Config) {
	w.String(l.Driver)
	w.String(l.Dir)
	w.String(l.Name)
	w.I64(l.MaxSize)
	w.I64(int64(l.MaxFiles))
	w.Bool(l.Compress)
	w.I64(int64(l.Buffer))
	w.Bytes(l.Attrs)
	w.Strings(l.Fields)
	s := &l.Syslog
	w.String(s.Network)
	w.String(s.Address)
	w.I64(int64(s.Priority))
	w.String(s.Format)
	w.String(s.Tag)
	w.String(s.Hostname)
}

func readLog(f *Fields) logfile.Config {
	return logfile.Config{Driver: f.String(), Dir: f.String(), Name: f.String(), MaxSize: f.I64(), MaxFiles: int(f.I64()), Compress: f.Bool(), Buffer: int(f.I64()),
		Attrs: f.Bytes(), Fields: f.Strings(),
		Syslog: logfile.Syslog{Network: f.String(), Address: f.String(), Priority: int(f.I64()), Format: f.String(), Tag: f.String(), Hostname: f.String()}}
}

// SignalBody is the body of Signal.
type SignalBody struct {
	ExecID string
	Signal uint32
	All    bool
}

// Append appends the body.
func (s *SignalBody) Append(b []byte) []byte {
	w := Body(b)
	w.String(s.ExecID)
	w.U32(s.Signal)
	w.Bool(s.All)
	return w
}

// ParseSignal reads the body.
func ParseSignal(b []byte) (SignalBody, error) {
	f := Read(b)
	s := SignalBody{f.String(), f.U32(), f.Bool()}
	return s, f.Err()
}

// ResizeBody is the body of Resize; with the first field alone that of CloseStdin.
type ResizeBody struct {
	ExecID        string
	Width, Height uint32
}

// Append appends the body.
func (s *ResizeBody) Append(b []byte) []byte {
	w := Body(b)
	w.String(s.ExecID)
	w.U32(s.Width)
	w.U32(s.Height)
	return w
}

// ParseResize reads the body.
func ParseResize(b []byte) (ResizeBody, error) {
	f := Read(b)
	s := ResizeBody{f.String(), f.U32(), f.U32()}
	return s, f.Err()
}

// Bits of [AttachBody.Want].
const (
	WantStdin = 1 << iota
	WantStdout
	WantStderr
)

// AttachBody is the body of Attach, whose descriptor is the shim's end of the stream socket, and
// with a Process that of Exec, where the descriptor is there when anything is wanted.
type AttachBody struct {
	ExecID   string
	Want     uint8
	Patience int64 // nanoseconds; negative: for ever
	Process  []byte
}

// Append appends the body.
func (s *AttachBody) Append(b []byte) []byte {
	w := Body(b)
	w.String(s.ExecID)
	w.U8(s.Want)
	w.I64(s.Patience)
	w.Bytes(s.Process)
	return w
}

// ParseAttach reads the body.
func ParseAttach(b []byte) (AttachBody, error) {
	f := Read(b)
	s := AttachBody{f.String(), f.U8(), f.I64(), f.Bytes()}
	return s, f.Err()
}

// Class says what kind of failure a Fail tells of.
type Class uint8

// Classes.
const (
	ClassOther Class = iota
	ClassNotFound
	ClassState
	ClassInvalid
)

// FailBody is the body of Fail.
type FailBody struct {
	Class Class
	Text  string
}

// Append appends the body.
func (s *FailBody) Append(b []byte) []byte {
	w := Body(b)
	w.U8(uint8(s.Class))
	w.String(s.Text)
	return w
}

// ParseFail reads the body.
func ParseFail(b []byte) (FailBody, error) {
	f := Read(b)
	s := FailBody{Class(f.U8()), f.String()}
	return s, f.Err()
}

// Status is what a container's init does.
type Status string

// What a container's init does.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// Info is what a shim knows about its container: the body of OK to Hello and to Create.
type Info struct {
	ID       string
	Status   Status
	Pid      int // init's, in the host's pid namespace
	ShimPid  int
	Started  time.Time // zero before Start
	Execs    []ExecInfo
	LogLost  uint64 // entries of the log that could not be written
	LogErr   string // the first reason
	Warnings []string
	Exit     *Exit // init has ended
}

// ExecInfo is an exec process that runs, or ended not long ago.
type ExecInfo struct {
	ID   string
	Pid  int
	Exit *Exit // nil while it runs
}

// Append appends the body.
func (s *Info) Append(b []byte) []byte {
	w := Body(b)
	w.String(s.ID)
	w.String(string(s.Status))
	w.U32(uint32(s.Pid))
	w.U32(uint32(s.ShimPid))
	appendTime(&w, s.Started)
	w.U32(uint32(len(s.Execs)))
	for i := range s.Execs {
		w.String(s.Execs[i].ID)
		w.U32(uint32(s.Execs[i].Pid))
		appendExit(&w, s.Execs[i].Exit)
	}
	w.U64(s.LogLost)
	w.String(s.LogErr)
	w.Strings(s.Warnings)
	appendExit(&w, s.Exit)
	return w
}

// ParseInfo reads the body.
func ParseInfo(b []byte) (Info, error) {
	f := Read(b)
	s := Info{ID: f.String(), Status: Status(f.String()), Pid: int(f.U32()), ShimPid: int(f.U32()), Started: readTime(f)}
	for n := f.Len(); n > 0 && !f.bad; n-- {
		s.Execs = append(s.Execs, ExecInfo{ID: f.String(), Pid: int(f.U32()), Exit: readExit(f)})
	}
	s.LogLost, s.LogErr, s.Warnings, s.Exit = f.U64(), f.String(), f.Strings(), readExit(f)
	return s, f.Err()
}

// Exit is how a process ended.
type Exit struct {
	Code     int    // exit status, or 128+n for signal n
	Signal   int    // 0: it exited
	OOM      bool   // of init: the kernel has killed a process of the container for want of memory
	OOMKills uint64 // how many (cgroup v1 before Linux 4.13 does not count: then 1)
	At       time.Time
	Err      string // why it is not known how it ended: "the shim was killed"
}

func appendExit(w *Body, e *Exit) {
	w.Bool(e != nil)
	if e == nil {
		return
	}
	w.I64(int64(e.Code))
	w.U32(uint32(e.Signal))
	w.Bool(e.OOM)
	w.U64(e.OOMKills)
	appendTime(w, e.At)
	w.String(e.Err)
}

func readExit(f *Fields) *Exit {
	if !f.Bool() {
		return nil
	}
	return &Exit{Code: int(f.I64()), Signal: int(f.U32()), OOM: f.Bool(), OOMKills: f.U64(), At: readTime(f), Err: f.String()}
}

// appendTime appends nanoseconds since 1970; 0 is no time.
func appendTime(w *Body, t time.Time) {
	if t.IsZero() {
		w.I64(0)
		return
	}
	w.I64(t.UnixNano())
}

func readTime(f *Fields) time.Time {
	if n := f.I64(); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Time{}
}

// EventKind says what happened.
type EventKind uint8

// What a shim tells without being asked. The last two are hulld's own conclusions.
const (
	EventOOM      EventKind = iota + 1 // the kernel killed a process of the container for want of memory; Exit.OOMKills counts
	EventExecExit                      // an exec process ended, its output is drained
	EventExit                          // init ended, the exit record is on disk, the output drained
	EventGone                          // the shim has taken everything away: the id can be used again
	EventLost                          // the shim ended without an exit record
)

// EventBody is the body of Event.
type EventBody struct {
	Kind   EventKind
	ExecID string // of EventExecExit
	Exit   Exit
}

// Append appends the body.
func (s *EventBody) Append(b []byte) []byte {
	w := Body(b)
	w.U8(uint8(s.Kind))
	w.String(s.ExecID)
	appendExit(&w, &s.Exit)
	return w
}

// ParseEvent reads the body.
func ParseEvent(b []byte) (s EventBody, err error) {
	f := Read(b)
	s.Kind, s.ExecID = EventKind(f.U8()), f.String()
	if e := readExit(f); e != nil {
		s.Exit = *e
	}
	return s, f.Err()
}

// Numbers is a list of numbers: the body of OK to Processes.
func Numbers(b []byte, list []int) []byte {
	w := Body(b)
	for _, n := range list {
		w.U32(uint32(n))
	}
	return w
}

// ParseNumbers reads the body.
func ParseNumbers(b []byte) []int {
	var list []int
	for f := Read(b); len(f.b) > 0 && !f.bad; {
		list = append(list, int(f.U32()))
	}
	return list
}
