package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// body makes the request that creates a container from the options, an image and a command line.
// It reads the files that options name, and asks no daemon.
func (r *runOptions) body(a *App, image string, args []string) (*createBody, error) {
	if *r.mac != "" {
		if err := checkMAC(*r.mac); err != nil {
			return nil, err
		}
	}
	if s := *r.swappiness; s != -1 && (s < 0 || s > 100) {
		return nil, fmt.Errorf("invalid value: %d. Valid memory swappiness range is 0-100", s)
	}
	b := &createBody{}
	if err := r.config(a, &b.containerConfig, &b.HostConfig); err != nil {
		return nil, err
	}
	b.Image = image
	if len(args) > 0 {
		b.Cmd = args
	}
	if err := r.host(&b.HostConfig); err != nil {
		return nil, err
	}
	if err := r.resources(&b.HostConfig.resources); err != nil {
		return nil, err
	}
	var err error
	if b.Healthcheck, err = r.healthcheck(); err != nil {
		return nil, err
	}
	if *r.rm && b.HostConfig.RestartPolicy.Name != "no" && b.HostConfig.RestartPolicy.Name != "" {
		return nil, errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	if b.NetworkingConfig.EndpointsConfig, err = r.endpoints(); err != nil {
		return nil, err
	}
	// Daemons before 1.44 know the address of the main network only.
	if e := b.NetworkingConfig.EndpointsConfig[b.HostConfig.NetworkMode]; e != nil {
		b.MacAddress = e.MacAddress
	}
	return b, nil
}

// config fills the container's part, and of the host's what comes of the same options.
func (r *runOptions) config(a *App, c *containerConfig, h *hostConfig) (err error) {
	c.Hostname, c.Domainname, c.User = *r.hostname, *r.domain, *r.user
	c.Tty, c.OpenStdin, c.AttachStdin = *r.tty, *r.stdin, *r.stdin
	for _, s := range *r.attach {
		switch s {
		case "stdin":
			c.AttachStdin = true
		case "stdout":
			c.AttachStdout = true
		case "stderr":
			c.AttachStderr = true
		}
	}
	if len(*r.attach) == 0 {
		c.AttachStdout, c.AttachStderr = true, true
	}
	c.StdinOnce = c.OpenStdin && c.AttachStdin
	if h.Binds, c.Volumes, err = parseVolumes(*r.volumes); err != nil {
		return err
	}
	if c.ExposedPorts, h.PortBindings, err = parsePorts(*r.publish); err != nil {
		return err
	}
	if err := exposePorts(*r.expose, c.ExposedPorts); err != nil {
		return err
	}
	var cdi []string
	if h.Devices, cdi, err = parseDevices(*r.devices); err != nil {
		return err
	}
	h.DeviceRequests = r.gpus
	if len(cdi) > 0 {
		h.DeviceRequests = append(h.DeviceRequests, deviceRequest{Driver: "cdi", DeviceIDs: cdi})
	}
	if c.Env, err = readPairs(*r.envFiles, a.withProxies(*r.env), os.LookupEnv); err != nil {
		return err
	}
	labels, err := readPairs(*r.labelFiles, *r.labels, nil)
	if err != nil {
		return err
	}
	c.Labels = pairMap(labels)
	switch {
	case *r.entrypoint != "":
		c.Entrypoint = []string{*r.entrypoint}
	case r.o.changed("entrypoint"):
		c.Entrypoint = []string{""} // takes the image's away
	}
	c.MacAddress, c.WorkingDir, c.StopSignal = *r.mac, *r.workdir, *r.stopSignal
	if r.o.changed("stop-timeout") {
		c.StopTimeout = r.stopTimeout
	}
	return nil
}

// host fills the host's part, but for the resources.
func (r *runOptions) host(h *hostConfig) (err error) {
	if id, ok := strings.CutPrefix(*r.pid, "container:"); *r.pid != "" && *r.pid != "host" && (!ok || id == "") {
		return errors.New("--pid: invalid PID mode")
	}
	if *r.uts != "" && *r.uts != "host" {
		return errors.New("--uts: invalid UTS mode")
	}
	if *r.userns != "" && *r.userns != "host" {
		return errors.New("--userns: invalid USER mode")
	}
	if *r.cgroupns != "" && *r.cgroupns != "host" && *r.cgroupns != "private" {
		return errors.New("--cgroupns: invalid CGROUP mode")
	}
	h.PidMode, h.UTSMode, h.UsernsMode, h.CgroupnsMode, h.IpcMode = *r.pid, *r.uts, *r.userns, *r.cgroupns, *r.ipc
	if h.RestartPolicy, err = parseRestart(*r.restart); err != nil {
		return err
	}
	if *r.logDriver == "none" && len(*r.logOpts) > 0 {
		return errors.New("invalid logging opts for driver none")
	}
	h.LogConfig.Type, h.LogConfig.Config = *r.logDriver, pairMap(*r.logOpts)
	var open bool
	if h.SecurityOpt, open, err = securityOpts(*r.security); err != nil {
		return err
	}
	if open {
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}
	h.StorageOpt = make(map[string]string)
	for _, s := range *r.storage {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("invalid storage option")
		}
		h.StorageOpt[k] = v
	}
	h.Tmpfs = make(map[string]string)
	for _, t := range *r.tmpfs {
		k, v, _ := strings.Cut(t, ":")
		h.Tmpfs[k] = v
	}
	h.NetworkMode = "default"
	if len(r.networks) > 0 {
		h.NetworkMode = r.networks[0].target
	}
	if r.o.changed("init") {
		h.Init = r.init
	}
	h.ContainerIDFile, h.AutoRemove, h.Privileged, h.ReadonlyRootfs = *r.cidfile, *r.rm, *r.privileged, *r.readOnly
	h.PublishAllPorts, h.OomScoreAdj, h.VolumeDriver = *r.publishAll, *r.oomScore, *r.volumeDriver
	h.DNS, h.DNSOptions, h.DNSSearch = never(*r.dns), never(*r.dnsOptions), never(*r.dnsSearch)
	h.ExtraHosts, h.Links, h.VolumesFrom, h.GroupAdd = *r.hosts, *r.links, *r.volumesFrom, *r.groups
	h.CapAdd, h.CapDrop = capabilities(*r.capAdd), capabilities(*r.capDrop)
	h.Isolation, h.Runtime, h.ShmSize = *r.isolation, *r.runtime, *r.shm
	h.Sysctls, h.Annotations, h.Mounts = r.sysctls, r.annotations, r.mounts
	return nil
}

// never is a list that is never null.
func never(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (r *runOptions) resources(s *resources) error {
	s.CgroupParent = *r.cgroup
	s.Memory, s.MemoryReservation, s.MemorySwap = *r.memory, *r.reservation, *r.swap
	s.MemorySwappiness, s.OomKillDisable, s.PidsLimit = r.swappiness, r.oomDisable, r.pids
	s.KernelMemory, s.NanoCPUs = *r.kernelMemory, r.cpus
	s.CPUShares, s.CPUPeriod, s.CPUQuota = *r.shares, *r.period, *r.quota
	s.CPURealtimePeriod, s.CPURealtimeRuntime = *r.rtPeriod, *r.rtRuntime
	s.CpusetCpus, s.CpusetMems = *r.cpusetCPUs, *r.cpusetMems
	s.BlkioWeight, s.BlkioWeightDevice = *r.blkio, append([]weightDevice{}, r.weights...)
	s.BlkioDeviceReadBps, s.BlkioDeviceWriteBps = append([]throttleDevice{}, r.readBps...), append([]throttleDevice{}, r.writeBps...)
	s.BlkioDeviceReadIOps, s.BlkioDeviceWriteIOps = append([]throttleDevice{}, r.readIOps...), append([]throttleDevice{}, r.writeIOps...)
	s.DeviceCgroupRules, s.Ulimits = *r.deviceRules, append([]ulimit{}, r.ulimits...)
	return nil
}

func (r *runOptions) healthcheck() (*healthcheck, error) {
	set := *r.healthCmd != "" || *r.healthInterval != 0 || *r.healthTimeout != 0 || *r.healthStart != 0 || *r.healthRetries != 0 || *r.healthStartInterval != 0
	switch {
	case *r.noHealth && set:
		return nil, errors.New("--no-healthcheck conflicts with --health-* options")
	case *r.noHealth:
		return &healthcheck{Test: []string{"NONE"}}, nil
	case !set:
		return nil, nil
	case *r.healthInterval < 0:
		return nil, errors.New("--health-interval cannot be negative")
	case *r.healthTimeout < 0:
		return nil, errors.New("--health-timeout cannot be negative")
	case *r.healthRetries < 0:
		return nil, errors.New("--health-retries cannot be negative")
	case *r.healthStart < 0:
		return nil, errors.New("--health-start-period cannot be negative")
	case *r.healthStartInterval < 0:
		return nil, errors.New("--health-start-interval cannot be negative")
	}
	h := &healthcheck{Interval: *r.healthInterval, Timeout: *r.healthTimeout, StartPeriod: *r.healthStart, StartInterval: *r.healthStartInterval, Retries: *r.healthRetries}
	if *r.healthCmd != "" {
		h.Test = []string{"CMD-SHELL", *r.healthCmd}
	}
	return h, nil
}
