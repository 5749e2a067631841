package criu

// Kind is criu_req_type.
type Kind int32

// What criu can be asked for.
const (
	Dump         Kind = 1
	Restore      Kind = 2
	PreDump      Kind = 4
	notify       Kind = 6
	FeatureCheck Kind = 9
	Version      Kind = 10
)

func (k Kind) String() string {
	switch k {
	case Dump:
		return "DUMP"
	case Restore:
		return "RESTORE"
	case PreDump:
		return "PRE_DUMP"
	case notify:
		return "NOTIFY"
	case FeatureCheck:
		return "FEATURE_CHECK"
	case Version:
		return "VERSION"
	}
	return "UNKNOWN"
}

// CgroupMode is criu_cg_mode: what criu does with the cgroups of the processes. For what
// soft, full and strict mean, see --manage-cgroups in criu(8).
type CgroupMode int32

// The modes that runc has names for.
const (
	CgroupIgnore CgroupMode = 0
	CgroupSoft   CgroupMode = 3
	CgroupFull   CgroupMode = 4
	CgroupStrict CgroupMode = 5
)

// Options is criu_opts. What is left at its zero value is not sent.
type Options struct {
	ImagesDir int // descriptor of the caller's
	WorkDir   int // descriptor of the caller's for logs; 0: ImagesDir
	Pid       int // what to dump
	Root      string
	LogFile   string // name in WorkDir
	LogLevel  int

	LeaveRunning, TCPEstablished, TCPSkipInFlight, LinkRemap, ExtUnixSk, ShellJob, FileLocks bool
	AutoDedup, LazyPages, TrackMem, EvasiveDevices, OrphanPtsMaster                          bool
	RestoreAsSibling                                                                         bool // init becomes a child of criu's parent
	NotifyScripts                                                                            bool // send notifications

	ParentImages string // relative to ImagesDir
	FreezeCgroup string // directory
	ConfigFile   string
	PageServer   *PageServer

	ExternalMounts []ExternalMount
	External       []string // "net[INODE]:KEY"
	InheritFDs     []InheritFD
	JoinNamespaces []JoinNamespace
	EmptyNS        uint32 // CLONE_NEW* flags
	CgroupMode     CgroupMode
	CgroupRoots    []CgroupRoot

	LSMProfile, LSMMountContext string
}

// PageServer is where a dump sends memory pages to, or serves them from.
type PageServer struct {
	Address string
	Port    int
}

// ExternalMount is a mount whose source is outside. At dump: mount point in the container and
// the name it gets in the image; at restore: that name and the source in criu's mount namespace.
type ExternalMount struct{ Key, Value string }

// InheritFD gives the restored processes a descriptor of criu's for a file that the image
// knows by a key: "pipe:[INODE]", or the key of an entry of External.
type InheritFD struct {
	Key string
	FD  int
}

// JoinNamespace makes the restored processes join a namespace: "ipc", "/proc/1/ns/ipc".
type JoinNamespace struct{ Kind, Path string }

// CgroupRoot is the cgroup of a controller below which the processes' groups are restored.
type CgroupRoot struct{ Controller, Path string }

// Features are those that a dump may depend on (criu_features).
type Features struct {
	MemTrack  bool // the kernel says which pages changed: pre-dump
	LazyPages bool // userfaultfd
}

// request encodes a criu_req.
func request(k Kind, o *Options, ask Features, keepOpen bool) []byte {
	var m message
	m.int(1, int64(k))
	if o != nil {
		m.bytes(2, o.encode())
	}
	m.on(4, keepOpen)
	if k == FeatureCheck {
		var f message
		f.on(1, ask.MemTrack)
		f.on(2, ask.LazyPages)
		m.bytes(5, f)
	}
	return m
}

// answer encodes the answer to a notification. false makes criu give up.
func answer(ok bool) []byte {
	var m message
	m.int(1, int64(notify))
	v := int64(0)
	if ok {
		v = 1
	}
	m.int(3, v)
	return m
}

func pair(key, value string) message {
	var m message
	m.bytes(1, []byte(key))
	m.bytes(2, []byte(value))
	return m
}

// encode writes the fields in the order of their numbers, as the reference encoders do.
func (o *Options) encode() message {
	var m message
	m.int(1, int64(o.ImagesDir))
	if o.Pid != 0 {
		m.int(2, int64(o.Pid))
	}
	m.on(3, o.LeaveRunning)
	m.on(4, o.ExtUnixSk)
	m.on(5, o.TCPEstablished)
	m.on(6, o.EvasiveDevices)
	m.on(7, o.ShellJob)
	m.on(8, o.FileLocks)
	m.int(9, int64(o.LogLevel))
	m.text(10, o.LogFile)
	if s := o.PageServer; s != nil {
		var p message
		p.text(1, s.Address)
		p.int(2, int64(s.Port))
		m.bytes(11, p)
	}
	m.on(12, o.NotifyScripts)
	m.text(13, o.Root)
	m.text(14, o.ParentImages)
	m.on(15, o.TrackMem)
	m.on(16, o.AutoDedup)
	if o.WorkDir != 0 {
		m.int(17, int64(o.WorkDir))
	}
	m.on(18, o.LinkRemap)
	for _, e := range o.ExternalMounts {
		m.bytes(23, pair(e.Key, e.Value))
	}
	m.on(24, true) // manage_cgroups: criu before 2.0 knows no modes
	for _, r := range o.CgroupRoots {
		var c message
		c.bytes(1, []byte(r.Controller)) // may be empty: v2
		c.bytes(2, []byte(r.Path))
		m.bytes(25, c)
	}
	m.on(26, o.RestoreAsSibling)
	for _, i := range o.InheritFDs {
		var f message
		f.bytes(1, []byte(i.Key))
		f.int(2, int64(i.FD))
		m.bytes(27, f)
	}
	m.int(34, int64(o.CgroupMode))
	for _, e := range o.External {
		m.bytes(37, []byte(e))
	}
	if o.EmptyNS != 0 {
		m.int(38, int64(o.EmptyNS))
	}
	for _, j := range o.JoinNamespaces {
		m.bytes(39, pair(j.Kind, j.Path))
	}
	m.text(44, o.FreezeCgroup)
	m.on(46, o.TCPSkipInFlight)
	m.on(48, o.LazyPages)
	m.on(50, o.OrphanPtsMaster)
	m.text(51, o.ConfigFile)
	m.text(53, o.LSMProfile)
	m.text(63, o.LSMMountContext)
	return m
}
