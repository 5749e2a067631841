package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// counters are what a shim says of its container: runc's types.Stats.
type counters struct {
	CPU struct {
		Usage struct {
			Total  uint64   `json:"total"`
			PerCPU []uint64 `json:"percpu"`
			Kernel uint64   `json:"kernel"`
			User   uint64   `json:"user"`
		} `json:"usage"`
		Throttling struct {
			Periods          uint64 `json:"periods"`
			ThrottledPeriods uint64 `json:"throttledPeriods"`
			ThrottledTime    uint64 `json:"throttledTime"`
		} `json:"throttling"`
	} `json:"cpu"`
	Memory struct {
		Usage struct {
			Limit   uint64 `json:"limit"`
			Usage   uint64 `json:"usage"`
			Max     uint64 `json:"max"`
			Failcnt uint64 `json:"failcnt"`
		} `json:"usage"`
		Raw map[string]uint64 `json:"raw"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current"`
		Limit   uint64 `json:"limit"`
	} `json:"pids"`
	Blkio struct {
		ServiceBytes []container.BlkioStatEntry `json:"ioServiceBytesRecursive"`
		Serviced     []container.BlkioStatEntry `json:"ioServicedRecursive"`
		Queued       []container.BlkioStatEntry `json:"ioQueueRecursive"`
		ServiceTime  []container.BlkioStatEntry `json:"ioServiceTimeRecursive"`
		WaitTime     []container.BlkioStatEntry `json:"ioWaitTimeRecursive"`
		Merged       []container.BlkioStatEntry `json:"ioMergedRecursive"`
		Time         []container.BlkioStatEntry `json:"ioTimeRecursive"`
		Sectors      []container.BlkioStatEntry `json:"sectorsRecursive"`
	} `json:"blkio"`
}

// sampleEvery is how often a stream of stats has a new one.
const sampleEvery = time.Second

func (s *Server) containerStats(w http.ResponseWriter, r *request, name string) error {
	stream := r.FormValue("stream") == "" || r.flag("stream")
	once := r.since(41) && r.flag("one-shot") && !stream
	v, err := s.containers.Find(name)
	if err != nil {
		return err
	}
	id := string(v.ID)
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	last, err := s.sample(r.Context(), id)
	if err != nil {
		return err
	}
	running := last.Read != time.Time{}
	send := func(st container.StatsResponse) error {
		raw, err := encode(st)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(raw, '\n')); err != nil {
			return err
		}
		return flush.Flush()
	}
	switch {
	case once || !running && !stream:
		return send(last)
	case stream:
		// The first comes at once, so that a client has something to show.
		if err := send(last); err != nil {
			return nil //nolint:nilerr // the client is gone
		}
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		}
		next, err := s.sample(r.Context(), id)
		if err != nil {
			return nil //nolint:nilerr // it was removed
		}
		next.PreRead, next.PreCPUStats = last.Read, last.CPUStats
		if err := send(next); err != nil || !stream {
			return nil //nolint:nilerr // the client is gone
		}
		last = next
	}
}

// sample reads a container's counters. Of one that does not run only the name is set.
func (s *Server) sample(ctx context.Context, id string) (out container.StatsResponse, err error) {
	raw, v, err := s.containers.Stats(ctx, id)
	if err != nil {
		return out, err
	}
	out.ID, out.Name, out.OSType = id, "/"+v.Name, "linux"
	if raw == nil {
		return out, nil
	}
	var c counters
	if err := json.Unmarshal(raw, &c); err != nil {
		return out, fmt.Errorf("reading the counters of container %s: %w", v.Name, err)
	}
	out.Read = time.Now().UTC()
	out.CPUStats = container.CPUStats{
		CPUUsage:       container.CPUUsage{TotalUsage: c.CPU.Usage.Total, PercpuUsage: c.CPU.Usage.PerCPU, UsageInKernelmode: c.CPU.Usage.Kernel, UsageInUsermode: c.CPU.Usage.User},
		ThrottlingData: container.ThrottlingData{Periods: c.CPU.Throttling.Periods, ThrottledPeriods: c.CPU.Throttling.ThrottledPeriods, ThrottledTime: c.CPU.Throttling.ThrottledTime},
	}
	stat, err := os.ReadFile("/proc/stat")
	if err == nil {
		out.CPUStats.SystemUsage, out.CPUStats.OnlineCPUs = hostCPU(string(stat))
	}
	limit := c.Memory.Usage.Limit
	if total := memTotal(); limit == 0 || limit > total {
		limit = total
	}
	out.MemoryStats = container.MemoryStats{Usage: c.Memory.Usage.Usage, MaxUsage: c.Memory.Usage.Max, Stats: c.Memory.Raw, Failcnt: c.Memory.Usage.Failcnt, Limit: limit}
	out.PidsStats = container.PidsStats{Current: c.Pids.Current, Limit: c.Pids.Limit}
	if c.Pids.Limit == 0 {
		out.PidsStats.Limit = ^uint64(0)
	}
	out.BlkioStats = container.BlkioStats{
		IoServiceBytesRecursive: c.Blkio.ServiceBytes, IoServicedRecursive: c.Blkio.Serviced, IoQueuedRecursive: c.Blkio.Queued, IoServiceTimeRecursive: c.Blkio.ServiceTime,
		IoWaitTimeRecursive: c.Blkio.WaitTime, IoMergedRecursive: c.Blkio.Merged, IoTimeRecursive: c.Blkio.Time, SectorsRecursive: c.Blkio.Sectors,
	}
	if !v.Host.NetworkMode.IsHost() && v.State.Pid > 0 {
		if dev, err := os.ReadFile("/proc/" + strconv.Itoa(v.State.Pid) + "/net/dev"); err == nil {
			out.Networks = deviceCounters(string(dev))
		}
	}
	return out, nil
}

// hostCPU reads /proc/stat: the time that all CPUs have spent, in nanoseconds, and how many they are.
func hostCPU(text string) (total uint64, online uint32) {
	const tick = uint64(time.Second) / 100 // USER_HZ
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) > 7 && f[0] == "cpu":
			for _, n := range f[1:8] {
				v, _ := strconv.ParseUint(n, 10, 64) // the kernel wrote it
				total += v * tick
			}
		case len(f) > 0 && strings.HasPrefix(f[0], "cpu"):
			online++
		}
	}
	return total, online
}

// deviceCounters reads /proc/net/dev, the loopback device aside.
func deviceCounters(text string) map[string]container.NetworkStats {
	out := make(map[string]container.NetworkStats)
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if name = strings.TrimSpace(name); !ok || len(f) < 12 || name == "lo" {
			continue
		}
		n := func(i int) uint64 {
			v, _ := strconv.ParseUint(f[i], 10, 64) // the kernel wrote it
			return v
		}
		out[name] = container.NetworkStats{RxBytes: n(0), RxPackets: n(1), RxErrors: n(2), RxDropped: n(3), TxBytes: n(8), TxPackets: n(9), TxErrors: n(10), TxDropped: n(11)}
	}
	return out
}
