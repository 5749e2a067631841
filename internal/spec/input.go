package spec

import (
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Input is all that a runtime configuration is made of.
type Input struct {
	// ID of the container: the name of its cgroup.
	ID string
	// Config is merged with the image's, Host validated and completed by Validate. Neither is changed.
	Config *container.Config
	Host   *container.HostConfig
	Facts  *Facts

	// Root is root.path. The shim replaces it by the descriptor of the root's mount.
	Root string
	// IDs are the container's own ids on the host; nil: it shares the host's user namespace. See
	// WantsUserNS for which containers have some.
	IDs *IDRange
	// User is Config.User with Host.GroupAdd in numbers.
	User User
	// NoSetID says that the image has no file with a set-id bit or a file capability, so that
	// no_new_privs changes nothing that works.
	NoSetID bool

	// Mounts are those of binds, volumes, tmpfs and mounts, in any order; they win over the
	// default mount of the same destination.
	Mounts []Mount
	// Namespaces are those of other containers or of a sandbox.
	Namespaces Namespaces
	// Devices are of ResolveDevices.
	Devices Devices
	// Files are the container's own files under /etc; an empty one is not mounted.
	Files Files
	// Shm is the directory that becomes /dev/shm when it is shared with other containers
	// (IpcMode "shareable" and "container:…"); empty: a tmpfs of the container's own.
	Shm string
	// Init is the path of the small init program on the host.
	Init string
	// CgroupParent is used when Host.CgroupParent is empty; "": "/hull".
	CgroupParent string
	// SystemdCgroup makes linux.cgroupsPath one for systemd: SLICE:hull:ID.
	SystemdCgroup bool
	// LinkEnv are variables of linked containers, before those of Config.Env.
	LinkEnv []string
	// Ulimits are the daemon's defaults by name, for those that Host.Ulimits does not have.
	Ulimits []*container.Ulimit
	// DefaultInit is the daemon's setting for containers with a nil Host.Init.
	DefaultInit bool
	// Profile is "", "default", "compat" or "strict".
	Profile string
	// Annotations are set by Hull itself, in the reserved name space too.
	Annotations map[string]string
}

// IDRange maps the container's ids 0 to Size-1 to Host to Host+Size-1.
type IDRange struct{ Host, Size uint32 }

// User is who the first process is, in numbers. Groups are all of its supplementary groups,
// without or with GID; Build adds GID (SECURITY.md R6).
type User struct {
	UID, GID uint32
	Groups   []uint32
}

// Namespaces are paths (/proc/PID/ns/…) of namespaces to join; an empty one is new or the host's,
// as the mode in HostConfig says.
type Namespaces struct {
	Net, PID, IPC, UTS, Cgroup string
	// User is joined with the others when the other container is mapped; IDs are its range.
	User string
}

// Files are paths on the host of the container's own /etc files.
type Files struct{ Hostname, Hosts, ResolvConf string }

// Mount is one mount that the user or the image asked for.
type Mount struct {
	// Destination is an absolute, clean path in the container.
	Destination string
	// Source of a bind mount on the host; for one that goes by descriptor what the shim's request
	// says for it. Empty for tmpfs.
	Source string
	// Tmpfs are the options of a tmpfs, nil for a bind mount ([]string{} has no options).
	Tmpfs []string

	ReadOnly bool
	// NonRecursive binds the one mount without those below it.
	NonRecursive bool
	// ReadOnlyNonRecursive leaves the mounts below writable; ReadOnlyForceRecursive makes it an error
	// if they cannot be made read-only.
	ReadOnlyNonRecursive, ReadOnlyForceRecursive bool
	// Propagation is "" or one of private, rprivate, shared, rshared, slave, rslave. The caller has
	// checked that the source is shared, where that is needed.
	Propagation string
	// IDMap shows the source's ids through the container's mapping: id 0 on disk is id 0 inside. It
	// needs IDs.
	IDMap bool
	// NoSuid, NoDev and NoExec are of a source that is mounted so, which a container in a user
	// namespace cannot take away.
	NoSuid, NoDev, NoExec bool
}

// Devices are the device nodes of a container, and block devices with limits.
type Devices struct {
	// Nodes are made in /dev; Rules say who may use them. All is every device of the host.
	Nodes []specs.LinuxDevice
	Rules []specs.LinuxDeviceCgroup
	// Numbers of the paths in the blkio lists.
	Numbers map[string]DeviceNumber
}

// DeviceNumber is that of a device node.
type DeviceNumber struct{ Major, Minor int64 }
