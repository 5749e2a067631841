package ocispec

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (v *validator) mounts(c *Config) {
	for i := range c.Mounts {
		v.mount(at("mounts", i), &c.Mounts[i], c.Linux)
	}
}

func (v *validator) mount(field string, m *specs.Mount, l *specs.Linux) {
	o := ParseMountOptions(m.Options)
	switch {
	case m.Destination == "":
		v.refuse(field+".destination", "must not be empty")
	case len(m.Destination) > pathMax:
		v.refuse(field+".destination", tooLong)
	case m.Destination[0] != '/':
		v.warn(field+".destination", quote(m.Destination)+" is not absolute, it is taken as /"+m.Destination)
	}
	switch {
	case o.Bind() && m.Source == "":
		v.refuse(field+".source", "must not be empty for a bind mount")
	case o.Bind() && filesystemData(o.Data) != "":
		// The kernel ignores them on a bind mount, runc 1.1 as well; runc 1.3 refuses them.
		v.warn(field+".options", quote(filesystemData(o.Data))+" is for a new file system, it has no effect on a bind mount")
	case !o.Bind() && m.Type == "" && o.Flags&unix.MS_REMOUNT == 0:
		v.refuse(field+".type", "missing, and it is no bind mount")
	}
	v.idmap(field, m, &o, l)
}

// filesystemData is the first option that a bind mount cannot have. acl and noacl may be there: mount(8) takes them, and
// they say how things are on any file system.
func filesystemData(data []string) string {
	for _, d := range data {
		if d != "acl" && d != "noacl" && d != "" {
			return d
		}
	}
	return ""
}

// idmap checks an id-mapped mount (config.md, uidMappings and gidMappings; mount_setattr(2)).
func (v *validator) idmap(field string, m *specs.Mount, o *MountOptions, l *specs.Linux) {
	mapped := len(m.UIDMappings)+len(m.GIDMappings) > 0
	switch {
	case !mapped && !o.IDMap && !o.RIDMap:
		return
	case !o.Bind():
		v.refuse(field+".options", "id-mapped mounts must be bind mounts")
	case mapped && len(m.UIDMappings) == 0:
		v.refuse(field+".uidMappings", "missing, and gidMappings are there")
	case mapped && len(m.GIDMappings) == 0:
		v.refuse(field+".gidMappings", "missing, and uidMappings are there")
	case !mapped && !v.has(unix.CLONE_NEWUSER):
		v.refuse(field+".options", "idmap without uidMappings and gidMappings needs a user namespace to take them from")
	}
	v.mappings(field+".uidMappings", m.UIDMappings)
	v.mappings(field+".gidMappings", m.GIDMappings)
}

// devices checks linux.devices. Numbers are as wide as in the kernel's dev_t: 12 and 20 bits.
func (v *validator) devices(list []specs.LinuxDevice) {
	for i, d := range list {
		field := at("linux.devices", i)
		v.absolute(field+".path", d.Path)
		if strings.HasSuffix(d.Path, "/") {
			v.refuse(field+".path", quote(d.Path)+" names a directory")
		}
		switch d.Type {
		case "c", "b", "u":
			if d.Major < 0 || d.Major > 1<<12-1 || d.Minor < 0 || d.Minor > 1<<20-1 {
				v.refuse(field+".major", "no device can have these numbers: major is at most 4095, minor at most 1048575")
			}
		case "p":
		default:
			v.refuse(field+".type", "unknown type "+quote(d.Type)+", want c, b, u or p")
		}
		if d.FileMode != nil && uint32(*d.FileMode)&^unix.S_IFMT > 0o7777 {
			v.refuse(field+".fileMode", "has bits that are no permissions")
		}
		if d.UID != nil && *d.UID == invalidID || d.GID != nil && *d.GID == invalidID {
			v.refuse(field+".uid", "4294967295 is no id")
		}
	}
}
