package engine

import (
	"path/filepath"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/spec"
)

// ID is a container's: 64 hexadecimal digits.
type ID string

// Short is the form that tables show: twelve digits.
func (id ID) Short() string { return string(id[:min(12, len(id))]) }

// View is a container as it was at one moment. Nobody changes it, nor what it points to.
type View struct {
	ID      ID
	Name    string // without Docker's slash
	Created time.Time

	Image      image.ID
	ImageRef   string              // the name that was asked for, as it is shown
	Manifest   *ocispec.Descriptor // of the image's platform
	Layers     []image.ChainID
	NoSetID    bool   // no file of the image gives rights away
	Path       string // the program
	Args       []string
	Config     *container.Config
	Host       *container.HostConfig
	IDs        *spec.IDRange // the container's own ids on the host; nil: the host's
	Mounts     []Mount
	Endpoints  map[string]*network.EndpointSettings // by network
	Ports      network.PortMap
	NetState   []byte          // of Networks, while it runs
	Had        map[string]Had  `json:",omitempty"` // addresses of the last run, by network
	GivenMAC   map[string]bool `json:",omitempty"` // networks in which a user chose the MAC address
	Sandbox    string          // path of the network namespace while it runs
	Log        logfile.Config
	Dir        string // its directory below the data root
	Driver     string // of the image's snapshots
	Platform   string
	Warnings   []string
	LinksTo    map[string]ID // alias → container
	State      State
	Execs      []string // IDs of those that run
	RestartCnt int
}

// State is the part of a view that changes as the container lives.
type State struct {
	Phase     Phase
	Pid       int // of init on the host; 0 when none runs
	ExitCode  int
	OOMKilled bool
	OOMKills  uint64
	Error     string
	Started   time.Time // zero: never
	Finished  time.Time // zero: never
	Manual    bool      // it was stopped by a user, so that unless-stopped leaves it
	Health    *Health   // nil: there is no check
}

// Health is what the health check says.
type Health struct {
	Status  container.HealthStatus
	Streak  int // failures in a row
	Results []container.HealthcheckResult
}

// AutoRemove says whether the container goes when it has ended.
func (v *View) AutoRemove() bool { return v.Host.AutoRemove }

// HasTTY says whether its input and output are a terminal.
func (v *View) HasTTY() bool { return v.Config.Tty }

// LogDir is where the container's log files are.
func (v *View) LogDir() string { return filepath.Join(v.Dir, "log") }
