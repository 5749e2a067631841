package spec

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

// host makes a directory with the files of /proc and /sys.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["proc/sys/kernel/osrelease"] = "6.1.0-23-amd64\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFactsV2(t *testing.T) {
	f, err := readFacts(host(t, map[string]string{
		"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n", "proc/swaps": "",
		"proc/self/status": "Name:\tx\nCapPrm:\t00000000a80425fb\nCapBnd:\t00000000a80425ff\n",
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 20000                files     \nMax core file size        0                    unlimited            bytes     \n",
		"sys/devices/system/cpu/cpu1/thermal_throttle/x": "", "sys/devices/system/cpu/cpu10/thermal_throttle/x": "", "sys/devices/system/cpu/cpu2/online": "1",
		"sys/devices/system/cpu/online": "0-3\n", "proc/sys/net/ipv4/ip_forward": "0\n", "sys/module/apparmor/parameters/enabled": "Y\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !f.Unified || !f.Controllers.MemoryLimit || !f.Controllers.SwapLimit || !f.Controllers.PidsLimit || f.Controllers.MemorySwappiness || f.Controllers.OomKillDisable || !f.Controllers.BlkioThrottle {
		t.Errorf("%+v", f.Controllers)
	}
	if f.KernelMajor != 6 || f.KernelMinor != 1 || !f.RecursiveReadOnly || f.CPUs != "0-3" || f.Mems != "0" || !f.IPv4ForwardingDisabled || !f.AppArmor || f.SELinux {
		t.Errorf("%+v", f)
	}
	if len(f.Capabilities) != 14 || f.Capabilities[0] != "CAP_CHOWN" || slices.Contains(f.Capabilities, "CAP_DAC_READ_SEARCH") {
		t.Errorf("%v", f.Capabilities)
	}
	if f.Limits["nofile"] != (Limit{1024, 20000}) || f.Limits["core"] != (Limit{0, 1<<64 - 1}) {
		t.Errorf("%v", f.Limits)
	}
	if !slices.Equal(f.Throttles, []int{1, 10}) {
		t.Errorf("%v", f.Throttles)
	}
}

func TestFactsV1(t *testing.T) {
	f, err := readFacts(host(t, map[string]string{
		"sys/fs/cgroup/memory/memory.limit_in_bytes": "", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "", "sys/fs/cgroup/unified/cgroup.procs": "",
		"proc/self/status": "CapPrm:\t0\nCapBnd:\t0\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if f.Unified || f.Controllers != (Controllers{MemoryLimit: true, CPUCfs: true}) {
		t.Errorf("%+v", f)
	}
}

// TestFactsHere: the machine that this runs on can be read at all.
func TestFactsHere(t *testing.T) {
	f, err := ReadFacts()
	if err != nil {
		t.Fatal(err)
	}
	if f.NCPU < 1 || f.CPUs == "" || len(f.Limits) < 10 || !f.Seccomp {
		t.Errorf("%+v", f)
	}
}

func TestResolveDevices(t *testing.T) {
	dir := t.TempDir()
	link := dir + "/link"
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	d, err := ResolveDevices(&container.HostConfig{Resources: container.Resources{
		Devices: []container.DeviceMapping{{PathOnHost: link, PathInContainer: "/dev/x", CgroupPermissions: "r"}, {PathOnHost: "/dev/zero", CgroupPermissions: "rwm"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := d.Nodes[0]; n.Path != "/dev/x" || n.Type != "c" || n.Major != 1 || n.Minor != 3 || *n.FileMode != 0o666 {
		t.Errorf("%+v", n)
	}
	if r := d.Rules[0]; !r.Allow || r.Type != "c" || *r.Minor != 3 || r.Access != "r" || *d.Rules[1].Minor != 5 {
		t.Errorf("%+v", d.Rules)
	}
	if d.Nodes[1].Path != "/dev/zero" {
		t.Errorf("%+v", d.Nodes[1])
	}
	for path, want := range map[string]string{"/dev/nope": `error gathering device information while adding custom device "/dev/nope": lstat /dev/nope: no such file or directory`, dir: `error gathering device information while adding custom device "` + dir + `": not a device node`} {
		_, err := ResolveDevices(&container.HostConfig{Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: path, CgroupPermissions: "r"}}}})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := ResolveDevices(&container.HostConfig{Resources: container.Resources{BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{{Path: "/dev/nope"}}}}); err == nil || err.Error() != "stat /dev/nope: no such file or directory" {
		t.Errorf("%v", err)
	}
	d, err = ResolveDevices(&container.HostConfig{Privileged: true, Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/null", CgroupPermissions: "rwm"}}}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, x := range d.Nodes {
		if x.Path == "/dev/null" {
			n++
		}
		if x.Path == "/dev/console" || len(x.Path) > 9 && x.Path[:9] == "/dev/pts/" {
			t.Errorf("%s is the container's own", x.Path)
		}
	}
	if n != 1 {
		t.Errorf("/dev/null is there %d times", n)
	}
}
