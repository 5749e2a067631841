package spec

import (
	"fmt"

	"github.com/moby/moby/api/types/blkiodev"
)

// throttle checks the limits of block devices.
func (v *limits) throttle() error {
	r := v.r
	for _, l := range []struct {
		list *[]*blkiodev.ThrottleDevice
		what string
	}{
		{&r.BlkioDeviceReadBps, "BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit"},
		{&r.BlkioDeviceWriteBps, "BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit"},
		{&r.BlkioDeviceReadIOps, "IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit"},
		{&r.BlkioDeviceWriteIOps, "IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit"},
	} {
		if len(*l.list) > 0 && !v.has.BlkioThrottle {
			v.warn("Your kernel does not support " + l.what + " discarded.")
			*l.list = nil
		}
		for _, d := range *l.list {
			if d == nil || d.Path == "" {
				return invalid(fmt.Sprintf("a %.4s limit without a device", l.what))
			}
		}
	}
	return nil
}
