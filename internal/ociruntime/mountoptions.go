package ociruntime

import (
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mountOptions is mounts[i].options in the terms of the calls that mount.
type mountOptions struct {
	ocispec.MountOptions
	set, clear uint64 // MOUNT_ATTR_* of this mount
}

func parseMountOptions(m specs.Mount) mountOptions {
	o := mountOptions{MountOptions: ocispec.ParseMountOptions(m.Options)}
	o.set, o.clear = o.Attr()
	return o
}

// forFS are the options for a new file system. "ro" is not among them: it is an attribute of
// the mount, and the file system may be another's as well, as sysfs is.
func (o *mountOptions) forFS() []string {
	list := o.Data
	for _, k := range o.Super() {
		if k != "ro" {
			list = append(list, k)
		}
	}
	return list
}

// propagation takes a propagation apart, as linux.rootfsPropagation names it.
func propagation(name string) (flag uint64, rec, ok bool) {
	m := ocispec.ParseMountOptions([]string{name})
	if len(m.Propagation) != 1 {
		return 0, false, false
	}
	return m.Propagation[0] &^ unix.MS_REC, m.Propagation[0]&unix.MS_REC != 0, true
}
