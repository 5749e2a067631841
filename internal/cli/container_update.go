package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

func (a *App) containerUpdate(ctx context.Context, args []string) error {
	o := newOptions()
	blkio := o.number("blkio-weight", 0, "uint16", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
	period := o.number("cpu-period", 0, "int64", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	quota := o.number("cpu-quota", 0, "int64", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	rtPeriod := o.number("cpu-rt-period", 0, "int64", 0, "Limit the CPU real-time period in microseconds")
	rtRuntime := o.number("cpu-rt-runtime", 0, "int64", 0, "Limit the CPU real-time runtime in microseconds")
	cpusetCPUs := o.text("cpuset-cpus", 0, "", "CPUs in which to allow execution (0-3, 0,1)")
	cpusetMems := o.text("cpuset-mems", 0, "", "MEMs in which to allow execution (0-3, 0,1)")
	shares := o.number("cpu-shares", 'c', "int64", 0, "CPU shares (relative weight)")
	memory := o.bytes("memory", 'm', false, "Memory limit")
	reservation := o.bytes("memory-reservation", 0, false, "Memory soft limit")
	swap := o.bytes("memory-swap", 0, true, "Swap limit equal to memory plus swap: -1 to enable unlimited swap")
	kernelMemory := o.bytes("kernel-memory", 0, false, "")
	restart := o.text("restart", 0, "", "Restart policy to apply when a container exits")
	pids := o.number("pids-limit", 0, "int64", 0, "Tune container pids limit (set -1 for unlimited)")
	var cpus int64
	o.value("cpus", 0, "decimal", "Number of CPUs", func(s string) (err error) {
		cpus, err = parseCPUs(s)
		return err
	})
	publishAdd := o.commas("publish-add", "Publish a further port of the running container to the host")
	publishRemove := o.commas("publish-rm", "Take a published port back ([[IP:]HOST-PORT:]CONTAINER-PORT[/PROTOCOL])")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	if !slices.ContainsFunc(o.all, func(opt *option) bool { return opt.changed }) {
		return errors.New("you must provide one or more flags when using this command")
	}
	var body struct {
		resources
		RestartPolicy restartPolicy
		PublishAdd    map[string][]portBinding `json:",omitempty"`
		PublishRemove map[string][]portBinding `json:",omitempty"`
	}
	if _, body.PublishAdd, err = parsePorts(*publishAdd); err != nil {
		return err
	}
	if _, body.PublishRemove, err = parsePorts(*publishRemove); err != nil {
		return err
	}
	for port, list := range body.PublishRemove {
		if slices.Contains(list, portBinding{}) {
			body.PublishRemove[port] = []portBinding{} // all that the port has
		}
	}
	if *restart != "" {
		if body.RestartPolicy, err = parseRestart(*restart); err != nil {
			return err
		}
	}
	body.BlkioWeight, body.CpusetCpus, body.CpusetMems, body.CPUShares = *blkio, *cpusetCPUs, *cpusetMems, *shares
	body.Memory, body.MemoryReservation, body.MemorySwap, body.KernelMemory = *memory, *reservation, *swap, *kernelMemory
	body.CPUPeriod, body.CPUQuota, body.CPURealtimePeriod, body.CPURealtimeRuntime = *period, *quota, *rtPeriod, *rtRuntime
	body.NanoCPUs = cpus
	if *pids != 0 {
		body.PidsLimit = pids
	}
	var warnings []string
	var errs []error
	for _, name := range args {
		path, err := containerPath(name)
		var answer struct{ Warnings []string }
		if err == nil {
			err = a.client.post(ctx, path+"/update", nil, body, &answer)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(a.Out, name)
		warnings = append(warnings, answer.Warnings...)
	}
	if len(warnings) > 0 {
		fmt.Fprintln(a.Out, strings.Join(warnings, "\n"))
	}
	return errors.Join(errs...)
}
