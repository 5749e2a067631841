package ocispec

import "strconv"

// ExampleSpec is the config.json that `keel spec` writes: byte for byte that of `runc spec` 1.3. cgroupNamespace adds a
// cgroup namespace, as runc does where all of the host's controllers are on cgroup v2.
func ExampleSpec(cgroupNamespace bool) string {
	return exampleProcess + exampleGid + exampleMounts + exampleSysfs + exampleCgroup +
		exampleResources + exampleNamespaces + namespaces("pid", "network") + namespaceTail(cgroupNamespace, "") + examplePaths
}

// RootlessSpec is what `keel spec --rootless` writes for a user: /sys is a bind mount, the network is the host's, there are
// no resources, and root in the container is the user outside.
func RootlessSpec(uid, gid uint32, cgroupNamespace bool) string {
	return exampleProcess + exampleMounts + exampleSysBind + exampleCgroup +
		mapping("uid", uid) + mapping("gid", gid) + exampleNamespaces + namespaces("pid") + namespaceTail(cgroupNamespace, "user") + examplePaths
}

// namespaces are elements of linux.namespaces, each with a comma after it.
func namespaces(types ...string) string {
	text := ""
	for _, t := range types {
		text += "\t\t\t{\n\t\t\t\t\"type\": \"" + t + "\"\n\t\t\t},\n"
	}
	return text
}

// namespaceTail are the elements that every container has, then those that depend; the last has no comma.
func namespaceTail(cgroup bool, last string) string {
	types := []string{"ipc", "uts", "mount"}
	if cgroup {
		types = append(types, "cgroup")
	}
	if last != "" {
		types = append(types, last)
	}
	text := namespaces(types...)
	return text[:len(text)-len(",\n")]
}

// mapping maps root in the container to one id outside.
func mapping(kind string, id uint32) string {
	return "\t\t\"" + kind + "Mappings\": [\n\t\t\t{\n\t\t\t\t\"containerID\": 0,\n\t\t\t\t\"hostID\": " +
		strconv.FormatUint(uint64(id), 10) + ",\n\t\t\t\t\"size\": 1\n\t\t\t}\n\t\t],\n"
}

// The parts of the example, in order.
const (
	exampleProcess = `{
	"ociVersion": "1.3.0",
	"process": {
		"terminal": true,
		"user": {
			"uid": 0,
			"gid": 0
		},
		"args": [
			"sh"
		],
		"env": [
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"TERM=xterm"
		],
		"cwd": "/",
		"capabilities": {
			"bounding": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			],
			"effective": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			],
			"permitted": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			]
		},
		"rlimits": [
			{
				"type": "RLIMIT_NOFILE",
				"hard": 1024,
				"soft": 1024
			}
		],
		"noNewPrivileges": true
	},
	"root": {
		"path": "rootfs",
		"readonly": true
	},
	"hostname": "runc",
	"mounts": [
		{
			"destination": "/proc",
			"type": "proc",
			"source": "proc"
		},
		{
			"destination": "/dev",
			"type": "tmpfs",
			"source": "tmpfs",
			"options": [
				"nosuid",
				"strictatime",
				"mode=755",
				"size=65536k"
			]
		},
		{
			"destination": "/dev/pts",
			"type": "devpts",
			"source": "devpts",
			"options": [
				"nosuid",
				"noexec",
				"newinstance",
				"ptmxmode=0666",
				"mode=0620"`
	exampleGid = `,
				"gid=5"`
	exampleMounts = `
			]
		},
		{
			"destination": "/dev/shm",
			"type": "tmpfs",
			"source": "shm",
			"options": [
				"nosuid",
				"noexec",
				"nodev",
				"mode=1777",
				"size=65536k"
			]
		},
		{
			"destination": "/dev/mqueue",
			"type": "mqueue",
			"source": "mqueue",
			"options": [
				"nosuid",
				"noexec",
				"nodev"
			]
		},
		{
			"destination": "/sys",
`
	exampleSysfs = `			"type": "sysfs",
			"source": "sysfs",
			"options": [
`
	exampleSysBind = `			"type": "none",
			"source": "/sys",
			"options": [
				"rbind",
`
	exampleCgroup = `				"nosuid",
				"noexec",
				"nodev",
				"ro"
			]
		},
		{
			"destination": "/sys/fs/cgroup",
			"type": "cgroup",
			"source": "cgroup",
			"options": [
				"nosuid",
				"noexec",
				"nodev",
				"relatime",
				"ro"
			]
		}
	],
	"linux": {
`
	exampleResources = `		"resources": {
			"devices": [
				{
					"allow": false,
					"access": "rwm"
				}
			]
		},
`
	exampleNamespaces = `		"namespaces": [
`
	examplePaths = `
		],
		"maskedPaths": [
			"/proc/acpi",
			"/proc/asound",
			"/proc/kcore",
			"/proc/keys",
			"/proc/latency_stats",
			"/proc/timer_list",
			"/proc/timer_stats",
			"/proc/sched_debug",
			"/sys/firmware",
			"/proc/scsi"
		],
		"readonlyPaths": [
			"/proc/bus",
			"/proc/fs",
			"/proc/irq",
			"/proc/sys",
			"/proc/sysrq-trigger"
		]
	}
}`
)
