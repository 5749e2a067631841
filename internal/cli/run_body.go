package cli

import "time"

// createBody is what POST /containers/create takes: a container's Config, with the host's and
// the networks' part in it. Names and order are the API's; what Docker sends when it is empty,
// hull sends, too.
type createBody struct {
	containerConfig
	HostConfig       hostConfig
	NetworkingConfig networkingConfig
}

type containerConfig struct {
	Hostname, Domainname, User              string
	AttachStdin, AttachStdout, AttachStderr bool
	ExposedPorts                            map[string]struct{} `json:",omitempty"`
	Tty, OpenStdin, StdinOnce               bool
	Env, Cmd                                []string
	Healthcheck                             *healthcheck `json:",omitempty"`
	Image                                   string
	Volumes                                 map[string]struct{}
	WorkingDir                              string
	Entrypoint                              []string
	MacAddress                              string `json:",omitempty"` // before 1.44
	OnBuild                                 []string
	Labels                                  map[string]string
	StopSignal                              string `json:",omitempty"`
	StopTimeout                             *int64 `json:",omitempty"`
}

type healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int64         `json:",omitempty"`
}

type hostConfig struct {
	Binds           []string
	ContainerIDFile string
	LogConfig       struct {
		Type   string
		Config map[string]string
	}
	NetworkMode                                 string
	PortBindings                                map[string][]portBinding
	RestartPolicy                               restartPolicy
	AutoRemove                                  bool
	VolumeDriver                                string
	VolumesFrom                                 []string
	ConsoleSize                                 [2]uint           // height, width
	Annotations                                 map[string]string `json:",omitempty"`
	CapAdd, CapDrop                             []string
	CgroupnsMode                                string
	DNS                                         []string `json:"Dns"`
	DNSOptions                                  []string `json:"DnsOptions"`
	DNSSearch                                   []string `json:"DnsSearch"`
	ExtraHosts, GroupAdd                        []string
	IpcMode, Cgroup                             string
	Links                                       []string
	OomScoreAdj                                 int64
	PidMode                                     string
	Privileged, PublishAllPorts, ReadonlyRootfs bool
	SecurityOpt                                 []string
	StorageOpt                                  map[string]string `json:",omitempty"`
	Tmpfs                                       map[string]string `json:",omitempty"`
	UTSMode, UsernsMode                         string
	ShmSize                                     int64
	Sysctls                                     map[string]string `json:",omitempty"`
	Runtime                                     string            `json:",omitempty"`
	Isolation                                   string
	resources                                           // as Docker has them, between the others
	Mounts                                      []mount `json:",omitempty"`
	MaskedPaths, ReadonlyPaths                  []string
	Init                                        *bool `json:",omitempty"`
}

// resources are a container's limits, which update can change.
type resources struct {
	CPUShares                                 int64 `json:"CpuShares"`
	Memory                                    int64
	NanoCPUs                                  int64 `json:"NanoCpus"`
	CgroupParent                              string
	BlkioWeight                               int64
	BlkioWeightDevice                         []weightDevice
	BlkioDeviceReadBps, BlkioDeviceWriteBps   []throttleDevice
	BlkioDeviceReadIOps, BlkioDeviceWriteIOps []throttleDevice
	CPUPeriod                                 int64 `json:"CpuPeriod"`
	CPUQuota                                  int64 `json:"CpuQuota"`
	CPURealtimePeriod                         int64 `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime                        int64 `json:"CpuRealtimeRuntime"`
	CpusetCpus, CpusetMems                    string
	Devices                                   []deviceMapping
	DeviceCgroupRules                         []string
	DeviceRequests                            []deviceRequest
	KernelMemory                              int64 `json:",omitempty"` // 1.40 and 1.41
	MemoryReservation, MemorySwap             int64
	MemorySwappiness                          *int64
	OomKillDisable                            *bool
	PidsLimit                                 *int64
	Ulimits                                   []ulimit
	CPUCount                                  int64 `json:"CpuCount"` // these four: Windows
	CPUPercent                                int64 `json:"CpuPercent"`
	IOMaximumIOps, IOMaximumBandwidth         int64
}

type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

type portBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

type weightDevice struct {
	Path   string
	Weight int64
}

type throttleDevice struct {
	Path string
	Rate uint64
}

type deviceMapping struct {
	PathOnHost, PathInContainer, CgroupPermissions string
}

type deviceRequest struct {
	Driver       string
	Count        int
	DeviceIDs    []string
	Capabilities [][]string
	Options      map[string]string
}

type ulimit struct {
	Name       string
	Hard, Soft int64
}

type mount struct {
	Type          string         `json:",omitempty"`
	Source        string         `json:",omitempty"`
	Target        string         `json:",omitempty"`
	ReadOnly      bool           `json:",omitempty"`
	Consistency   string         `json:",omitempty"`
	BindOptions   *bindOptions   `json:",omitempty"`
	VolumeOptions *volumeOptions `json:",omitempty"`
	ImageOptions  *imageOptions  `json:",omitempty"`
	TmpfsOptions  *tmpfsOptions  `json:",omitempty"`
}

type bindOptions struct {
	Propagation            string `json:",omitempty"`
	NonRecursive           bool   `json:",omitempty"`
	CreateMountpoint       bool   `json:",omitempty"`
	ReadOnlyNonRecursive   bool   `json:",omitempty"`
	ReadOnlyForceRecursive bool   `json:",omitempty"`
}

type volumeOptions struct {
	NoCopy       bool              `json:",omitempty"`
	Labels       map[string]string `json:",omitempty"`
	Subpath      string            `json:",omitempty"`
	DriverConfig *volumeDriver     `json:",omitempty"`
}

type volumeDriver struct {
	Name    string            `json:",omitempty"`
	Options map[string]string `json:",omitempty"`
}

type imageOptions struct {
	Subpath string `json:",omitempty"`
}

type tmpfsOptions struct {
	SizeBytes int64  `json:",omitempty"`
	Mode      uint32 `json:",omitempty"`
}

type networkingConfig struct {
	EndpointsConfig map[string]*endpointSettings
}

// endpointSettings is what a user can say of a container's place in a network.
type endpointSettings struct {
	IPAMConfig *endpointIPAM
	Links      []string
	Aliases    []string
	MacAddress string
	DriverOpts map[string]string
	GwPriority int
}

type endpointIPAM struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}
