package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// errNotDevice is of a file that is no device node.
var errNotDevice = errors.New("not a device node")

// ResolveDevices looks the device nodes up that a container asks for, all of the host's for a
// privileged one, and the numbers of block devices with limits. It is done at each start: the
// devices of a host come and go.
func ResolveDevices(h *container.HostConfig) (Devices, error) {
	var d Devices
	var err error
	if h.Privileged {
		if d.Nodes, err = deviceTree("/dev", "/dev"); err != nil {
			return d, fmt.Errorf("listing the devices of the host: %w", err)
		}
	}
	for _, m := range h.Devices {
		if h.Privileged && m.PathOnHost == m.PathInContainer {
			continue // it is among them
		}
		nodes, err := mappedDevices(m)
		if err != nil {
			return d, invalid(fmt.Sprintf("error gathering device information while adding custom device %q: %v", m.PathOnHost, err))
		}
		d.Nodes = append(d.Nodes, nodes...)
		for _, n := range nodes {
			d.Rules = append(d.Rules, specs.LinuxDeviceCgroup{Allow: true, Type: n.Type, Major: &n.Major, Minor: &n.Minor, Access: m.CgroupPermissions})
		}
	}
	d.Numbers, err = blockNumbers(h.Resources)
	return d, err
}

// blockNumbers are those of the devices in the blkio lists.
func blockNumbers(r container.Resources) (map[string]DeviceNumber, error) {
	numbers := make(map[string]DeviceNumber)
	look := func(path string) error {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return invalid((&os.PathError{Op: "stat", Path: path, Err: err}).Error())
		}
		numbers[path] = DeviceNumber{int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))}
		return nil
	}
	for _, d := range r.BlkioWeightDevice {
		if err := look(d.Path); err != nil {
			return nil, err
		}
	}
	for _, list := range [][]*blkiodev.ThrottleDevice{r.BlkioDeviceReadBps, r.BlkioDeviceWriteBps, r.BlkioDeviceReadIOps, r.BlkioDeviceWriteIOps} {
		for _, d := range list {
			if err := look(d.Path); err != nil {
				return nil, err
			}
		}
	}
	return numbers, nil
}

// mappedDevices is one device, or, for a directory, all in it.
func mappedDevices(m container.DeviceMapping) ([]specs.LinuxDevice, error) {
	path := m.PathOnHost
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	to := m.PathInContainer
	if to == "" {
		to = m.PathOnHost
	}
	d, err := deviceNode(path, to)
	if err == nil {
		return []specs.LinuxDevice{d}, nil
	}
	if errors.Is(err, errNotDevice) {
		if nodes, treeErr := deviceTree(path, to); treeErr == nil && len(nodes) > 0 {
			return nodes, nil
		}
	}
	return nil, err
}

// deviceNode describes a device node.
func deviceNode(path, to string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return specs.LinuxDevice{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	d := specs.LinuxDevice{Path: to, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), UID: &st.Uid, GID: &st.Gid}
	mode := fs.FileMode(st.Mode & 0o7777)
	d.FileMode = &mode
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		d.Type = "b"
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFIFO:
		d.Type = "p"
	default:
		return d, errNotDevice
	}
	return d, nil
}

// maxDevices bounds a directory of devices.
const maxDevices = 1 << 16

// deviceTree lists the devices below a directory, as containerd's HostDevices does: without the
// directories that a container has for itself, sorted by path.
func deviceTree(from, to string) ([]specs.LinuxDevice, error) {
	var nodes []specs.LinuxDevice
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && path == from:
			return err
		case err != nil:
			return nil // it vanished, or nobody may look
		case len(nodes) >= maxDevices:
			return fmt.Errorf("more than %d devices", maxDevices)
		case e.IsDir():
			if path != from && slices.Contains([]string{"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"}, e.Name()) {
				return fs.SkipDir
			}
			return nil
		case e.Name() == "console", e.Type()&fs.ModeNamedPipe != 0:
			return nil
		}
		if d, err := deviceNode(path, to+strings.TrimPrefix(path, from)); err == nil {
			nodes = append(nodes, d)
		}
		return nil
	})
	slices.SortFunc(nodes, func(a, b specs.LinuxDevice) int { return cmp.Compare(a.Path, b.Path) })
	return nodes, err
}
