package spec

// Facts are what Build and Validate need to know of the host and of hulld's own rights. They do
// not change while hulld runs.
type Facts struct {
	// Arch is the Go name of the architecture.
	Arch string
	// KernelMajor and KernelMinor are those of uname -r.
	KernelMajor, KernelMinor int
	// Unified is cgroup v2 alone; on v1 and hybrid hosts it is false.
	Unified bool
	// Controllers are the features of the cgroup controllers, named as Docker's info names them.
	Controllers Controllers
	// CPUs and Mems are the lists of what is online, "0-3"; NCPU counts the CPUs for hulld.
	CPUs, Mems string
	NCPU       int
	// Capabilities that hulld can give away: its bounding set, as "CAP_CHOWN", sorted by number.
	Capabilities []string
	// Limits are hulld's own, by the name in a ulimit ("nofile").
	Limits map[string]Limit
	// Throttles are the CPUs that have a thermal_throttle directory.
	Throttles []int
	// Sysctls that exist among those that are set by default.
	PingGroupRange, UnprivilegedPortStart bool

	AppArmor, SELinux, Seccomp bool
	// IDMapMounts: the kernel can show a mount through a user namespace's mapping.
	IDMapMounts bool
	// RecursiveReadOnly: mount_setattr(AT_RECURSIVE) is there (Linux 5.12).
	RecursiveReadOnly bool
	// IPv4ForwardingDisabled is of the host's network.
	IPv4ForwardingDisabled bool
	// Runtimes are the names that HostConfig.Runtime may have; DefaultRuntime stands for "".
	Runtimes       []string
	DefaultRuntime string
	// UserNS is false where user namespaces cannot be had, or the daemon's setting turned them off.
	UserNS bool
	// OOMScoreAdj is hulld's own.
	OOMScoreAdj int
	// SystemdCgroup: cgroups are made by systemd.
	SystemdCgroup bool
}

// Limit is a resource limit; ^uint64(0) is none.
type Limit struct{ Soft, Hard uint64 }

// Controllers says which limits the kernel can hold.
type Controllers struct {
	MemoryLimit, SwapLimit, MemoryReservation, MemorySwappiness, OomKillDisable bool
	CPUShares, CPUCfs, CPURealtime, Cpuset, PidsLimit                           bool
	BlkioWeight, BlkioWeightDevice, BlkioThrottle                               bool
	Devices                                                                     bool
}
