package cgroup

import (
	"fmt"
	"strconv"
)

// OfProcess is the group that a process is in, in each hierarchy in which it is not in the one that
// the caller is in, nor in the root: a container's that another runtime has made. There may be none.
func OfProcess(h *Host, pid int) (*Group, error) {
	text, err := readLong("/proc/"+strconv.Itoa(pid), "cgroup")
	if err != nil {
		return nil, fmt.Errorf("find the cgroups of process %d: %w", pid, err)
	}
	paths := map[string]string{}
	where := parseProcCgroup(text)
	for i := range h.Hierarchies {
		hi := &h.Hierarchies[i]
		own, err := h.Own(hi)
		if err != nil {
			return nil, err
		}
		names := hi.Controllers
		if hi.V2 {
			names = []string{""}
		}
		for _, n := range names {
			if p, ok := where[n]; ok && p != "/" && p != own {
				paths[n] = hi.Mount + p
			}
		}
	}
	return Load(h, paths)
}
