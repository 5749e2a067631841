package logfile

import "time"

// Drivers, by Docker's names.
const (
	DriverNone     = "none"
	DriverLocal    = "local"
	DriverJSONFile = "json-file"
	DriverJournald = "journald"
	DriverSyslog   = "syslog"
)

// Config says where a container's output is written, in full: what Docker's --log-opt gives as
// words is parsed by package logfile/options, before the shim sees it.
type Config struct {
	Driver string // DriverNone when empty

	// Dir and Name are where files are: json-file writes Dir/Name, Dir/Name.1, …; local writes
	// Dir/Name.000001 and so on, one file for each segment.
	Dir, Name string
	MaxSize   int64 // bytes of one file; <= 0: unlimited
	MaxFiles  int   // files that are kept, the current one included; < 1 counts as 1
	Compress  bool  // rotated files are compressed, by hulld

	// Buffer makes the writer one that never waits (Docker's mode=non-blocking): so many bytes
	// wait for a slow destination, and what comes while they are full is dropped and counted.
	// 0: the destination is waited for, but for sockets, which get DefaultBuffer.
	Buffer int

	// Attrs is the JSON object that json-file writes as "attrs"; empty for none.
	Attrs []byte

	// Fields are what journald gets besides the message: NAME=value.
	Fields []string

	Syslog Syslog
}

// Syslog is where and how syslog messages are sent.
type Syslog struct {
	Network  string // "unixgram", "unix", "udp", "tcp"
	Address  string // path, or IP:port
	Priority int    // facility<<3 | severity of standard output; standard error is LOG_ERR
	Format   string // "" (as syslog(3) writes), "rfc3164", "rfc5424", "rfc5424micro"
	Tag      string
	Hostname string
}

// DefaultBuffer is Docker's max-buffer-size, 1 MiB (1m).
const DefaultBuffer = 1 << 20

// Entry is one line of a container's output, or a piece of one.
type Entry struct {
	Time    time.Time
	Stream  byte   // 1: standard output, 2: standard error
	Line    []byte // without its newline
	Partial Partial
}

// Partial marks a piece of a line that is longer than [MaxLine], or that the program has left
// without a newline at its end.
type Partial struct {
	ID      uint64 // the same for all pieces of one line; 0: a whole line
	Ordinal int    // from 1
	Last    bool
}

// MaxLine is the longest line that is kept in one entry, in bytes: Docker's copier's buffer.
const MaxLine = 16 << 10
