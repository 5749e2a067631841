package cli

import (
	"errors"
	"strings"
	"time"
)

// runOptions are the options that run and create share. Fields are as the user wrote them;
// config.go of this family turns them into the API's form.
type runOptions struct {
	o *options

	name, pull, platform, cidfile      *string
	quiet, apiSocket                   *bool
	attach, volumes, tmpfs             *[]string
	env, envFiles, labels, labelFiles  *[]string
	publish, expose, devices           *[]string
	dns, dnsSearch, dnsOptions, hosts  *[]string
	links, aliases, linkLocal          *[]string
	volumesFrom, capAdd, capDrop       *[]string
	groups, security, storage, logOpts *[]string
	deviceRules                        *[]string
	networks                           []attachment
	mounts                             []mount
	weights                            []weightDevice
	readBps, writeBps                  []throttleDevice
	readIOps, writeIOps                []throttleDevice
	gpus                               []deviceRequest
	ulimits                            []ulimit
	sysctls, annotations               map[string]string

	entrypoint, hostname, domain, user, workdir *string
	restart, stopSignal, runtime, isolation     *string
	pid, uts, userns, cgroupns, ipc, cgroup     *string
	ip, ip6, mac                                *string
	logDriver, volumeDriver                     *string
	cpusetCPUs, cpusetMems                      *string
	healthCmd                                   *string

	stdin, tty, rm, init, privileged, readOnly *bool
	publishAll, noHealth, oomDisable           *bool

	stopTimeout, oomScore, pids, swappiness      *int64
	memory, reservation, swap, kernelMemory, shm *int64
	shares, period, quota, rtPeriod, rtRuntime   *int64
	cpuCount, cpuPercent, ioBandwidth, ioOps     *int64
	blkio, healthRetries                         *int64
	cpus                                         int64 // billionths

	healthInterval, healthTimeout, healthStart, healthStartInterval *time.Duration
}

// newRunOptions declares the options.
func newRunOptions(a *App, o *options) *runOptions {
	r := &runOptions{o: o}
	r.name = o.text("name", 0, "", "Assign a name to the container")
	r.pull = o.text("pull", 0, "missing", `Pull image before running ("always", "missing", "never")`)
	r.quiet = o.flag("quiet", 'q', "Suppress the pull output")
	r.platform = o.text("platform", 0, a.Env("DOCKER_DEFAULT_PLATFORM"), "Set platform if server is multi-platform capable")
	r.apiSocket = o.flag("use-api-socket", 0, "Bind mount the API socket and required auth")
	o.value("disable-content-trust", 0, "", "", func(s string) error {
		if s == "false" || s == "0" {
			return errors.New("Docker Content Trust is gone from Docker, and Hull never had it; verify images by digest")
		}
		return nil
	})
	r.general(o)
	r.isolating(o)
	r.networking(o)
	r.storing(o)
	r.health(o)
	r.limiting(o)
	return r
}

func (r *runOptions) general(o *options) {
	r.attach = o.checked("attach", 'a', "Attach to STDIN, STDOUT or STDERR", func(s string) (string, error) {
		switch l := strings.ToLower(s); l {
		case "stdin", "stdout", "stderr":
			return l, nil
		}
		return "", errors.New("valid streams are STDIN, STDOUT and STDERR")
	})
	r.env = o.checked("env", 'e', "Set environment variables", checkEnv)
	r.envFiles = o.list("env-file", 0, "Read in a file of environment variables")
	r.entrypoint = o.text("entrypoint", 0, "", "Overwrite the default ENTRYPOINT of the image")
	r.groups = o.list("group-add", 0, "Add additional groups to join")
	r.hostname = o.text("hostname", 'h', "", "Container host name")
	r.domain = o.text("domainname", 0, "", "Container NIS domain name")
	r.stdin = o.flag("interactive", 'i', "Keep STDIN open even if not attached")
	r.labels = o.checked("label", 'l', "Set meta data on a container", checkLabel)
	r.labelFiles = o.list("label-file", 0, "Read in a line delimited file of labels")
	r.readOnly = o.flag("read-only", 0, "Mount the container's root filesystem as read only")
	r.restart = o.text("restart", 0, "no", "Restart policy to apply when a container exits")
	r.stopSignal = o.text("stop-signal", 0, "", "Signal to stop the container")
	r.stopTimeout = o.number("stop-timeout", 0, "int", 0, "Timeout (in seconds) to stop a container")
	r.sysctls = o.pairs("sysctl", 0, "Sysctl options", checkSysctl)
	r.tty = o.flag("tty", 't', "Allocate a pseudo-TTY")
	o.value("ulimit", 0, "ulimit", "Ulimit options", func(s string) error {
		u, err := parseUlimit(s)
		if err == nil {
			r.ulimits = setUlimit(r.ulimits, u)
		}
		return err
	})
	r.user = o.text("user", 'u', "", "Username or UID (format: <name|uid>[:<group|gid>])")
	r.workdir = o.text("workdir", 'w', "", "Working directory inside the container")
	r.rm = o.flag("rm", 0, "Automatically remove the container and its associated anonymous volumes when it exits")
	r.init = o.flag("init", 0, "Run an init inside the container that forwards signals and reaps processes")
	r.cidfile = o.text("cidfile", 0, "", "Write the container ID to the file")
}

func (r *runOptions) isolating(o *options) {
	r.capAdd = o.list("cap-add", 0, "Add Linux capabilities")
	r.capDrop = o.list("cap-drop", 0, "Drop Linux capabilities")
	r.privileged = o.flag("privileged", 0, "Give extended privileges to this container")
	r.security = o.list("security-opt", 0, "Security Options")
	r.userns = o.text("userns", 0, "", "User namespace to use")
	r.cgroupns = o.text("cgroupns", 0, "", "Cgroup namespace to use (host|private)")
	r.cgroup = o.text("cgroup-parent", 0, "", "Optional parent cgroup for the container")
	r.ipc = o.text("ipc", 0, "", "IPC mode to use")
	r.isolation = o.text("isolation", 0, "", "Container isolation technology")
	r.pid = o.text("pid", 0, "", "PID namespace to use")
	r.uts = o.text("uts", 0, "", "UTS namespace to use")
	r.runtime = o.text("runtime", 0, "", "Runtime to use for this container")
	r.annotations = o.pairs("annotation", 0, "Add an annotation to the container (passed through to the OCI runtime)", nil)
}

func (r *runOptions) networking(o *options) {
	r.hosts = o.checked("add-host", 0, "Add a custom host-to-IP mapping (host:ip)", checkHost)
	r.dns = o.checked("dns", 0, "Set custom DNS servers", checkIP)
	r.dnsOptions = o.list("dns-option", 0, "Set DNS options")
	o.alias("dns-opt")
	r.dnsSearch = o.checked("dns-search", 0, "Set custom DNS search domains", checkSearch)
	r.expose = o.list("expose", 0, "Expose a port or a range of ports")
	r.ip = o.text("ip", 0, "", "IPv4 address (e.g., 172.30.100.104)")
	r.ip6 = o.text("ip6", 0, "", "IPv6 address (e.g., 2001:db8::33)")
	r.links = o.checked("link", 0, "Add link to another container", checkLink)
	r.linkLocal = o.list("link-local-ip", 0, "Container IPv4/IPv6 link-local addresses")
	r.mac = o.text("mac-address", 0, "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)")
	r.publish = o.list("publish", 'p', "Publish a container's port(s) to the host")
	r.publishAll = o.flag("publish-all", 'P', "Publish all exposed ports to random ports")
	o.value("network", 0, "network", "Connect a container to a network", func(s string) error {
		n, err := parseNetwork(s)
		if err == nil {
			r.networks = append(r.networks, n)
		}
		return err
	})
	o.alias("net")
	r.aliases = o.list("network-alias", 0, "Add network-scoped alias for the container")
	o.alias("net-alias")
}

func (r *runOptions) storing(o *options) {
	r.logDriver = o.text("log-driver", 0, "", "Logging driver for the container")
	r.logOpts = o.list("log-opt", 0, "Log driver options")
	r.volumeDriver = o.text("volume-driver", 0, "", "Optional volume driver for the container")
	r.storage = o.list("storage-opt", 0, "Storage driver options for the container")
	r.tmpfs = o.list("tmpfs", 0, "Mount a tmpfs directory")
	r.volumesFrom = o.list("volumes-from", 0, "Mount volumes from the specified container(s)")
	r.volumes = o.list("volume", 'v', "Bind mount a volume")
	o.value("mount", 0, "mount", "Attach a filesystem mount to the container", func(s string) error {
		m, err := parseMount(s)
		if err == nil {
			r.mounts = append(r.mounts, m)
		}
		return err
	})
}

func (r *runOptions) health(o *options) {
	r.healthCmd = o.text("health-cmd", 0, "", "Command to run to check health")
	r.healthInterval = o.duration("health-interval", 0, "Time between running the check (ms|s|m|h) (default 0s)")
	r.healthRetries = o.number("health-retries", 0, "int", 0, "Consecutive failures needed to report unhealthy")
	r.healthTimeout = o.duration("health-timeout", 0, "Maximum time to allow one check to run (ms|s|m|h) (default 0s)")
	r.healthStart = o.duration("health-start-period", 0, "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)")
	r.healthStartInterval = o.duration("health-start-interval", 0, "Time between running the check during the start period (ms|s|m|h) (default 0s)")
	r.noHealth = o.flag("no-healthcheck", 0, "Disable any container-specified HEALTHCHECK")
}

func (r *runOptions) limiting(o *options) {
	r.blkio = o.number("blkio-weight", 0, "uint16", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
	o.value("blkio-weight-device", 0, "list", "Block IO weight (relative device weight)", func(s string) error {
		w, err := parseWeightDevice(s)
		if err == nil {
			r.weights = append(r.weights, w)
		}
		return err
	})
	for _, t := range []struct {
		name, help string
		bytes      bool
		to         *[]throttleDevice
	}{
		{"device-read-bps", "Limit read rate (bytes per second) from a device", true, &r.readBps},
		{"device-read-iops", "Limit read rate (IO per second) from a device", false, &r.readIOps},
		{"device-write-bps", "Limit write rate (bytes per second) to a device", true, &r.writeBps},
		{"device-write-iops", "Limit write rate (IO per second) to a device", false, &r.writeIOps},
	} {
		o.value(t.name, 0, "list", t.help, func(s string) error {
			d, err := parseThrottle(s, t.bytes)
			if err == nil {
				*t.to = append(*t.to, d)
			}
			return err
		})
	}
	r.devices = o.list("device", 0, "Add a host device to the container")
	r.deviceRules = o.checked("device-cgroup-rule", 0, "Add a rule to the cgroup allowed devices list", checkDeviceRule)
	o.value("gpus", 0, "gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)", func(s string) error {
		g, err := parseGPUs(s)
		if err == nil {
			r.gpus = append(r.gpus, g)
		}
		return err
	})
	r.cpusetCPUs = o.text("cpuset-cpus", 0, "", "CPUs in which to allow execution (0-3, 0,1)")
	r.cpusetMems = o.text("cpuset-mems", 0, "", "MEMs in which to allow execution (0-3, 0,1)")
	r.cpuCount = o.number("cpu-count", 0, "int64", 0, "CPU count (Windows only)")
	r.cpuPercent = o.number("cpu-percent", 0, "int64", 0, "CPU percent (Windows only)")
	r.period = o.number("cpu-period", 0, "int64", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	r.quota = o.number("cpu-quota", 0, "int64", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	r.rtPeriod = o.number("cpu-rt-period", 0, "int64", 0, "Limit CPU real-time period in microseconds")
	r.rtRuntime = o.number("cpu-rt-runtime", 0, "int64", 0, "Limit CPU real-time runtime in microseconds")
	r.shares = o.number("cpu-shares", 'c', "int64", 0, "CPU shares (relative weight)")
	o.value("cpus", 0, "decimal", "Number of CPUs", func(s string) (err error) {
		r.cpus, err = parseCPUs(s)
		return err
	})
	r.ioBandwidth = o.bytes("io-maxbandwidth", 0, false, "Maximum IO bandwidth limit for the system drive (Windows only)")
	r.ioOps = o.number("io-maxiops", 0, "uint64", 0, "Maximum IOps limit for the system drive (Windows only)")
	r.kernelMemory = o.bytes("kernel-memory", 0, false, "Kernel memory limit")
	r.memory = o.bytes("memory", 'm', false, "Memory limit")
	r.reservation = o.bytes("memory-reservation", 0, false, "Memory soft limit")
	r.swap = o.bytes("memory-swap", 0, true, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap")
	r.swappiness = o.number("memory-swappiness", 0, "int64", -1, "Tune container memory swappiness (0 to 100)")
	r.oomDisable = o.flag("oom-kill-disable", 0, "Disable OOM Killer")
	r.oomScore = o.number("oom-score-adj", 0, "int", 0, "Tune host's OOM preferences (-1000 to 1000)")
	r.pids = o.number("pids-limit", 0, "int64", 0, "Tune container pids limit (set -1 for unlimited)")
	r.shm = o.bytes("shm-size", 0, false, "Size of /dev/shm")
}
