package cli

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// parseCPUs reads a number of CPUs, 1.5, into billionths of one.
func parseCPUs(s string) (int64, error) {
	n, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, fmt.Errorf("failed to parse %v as a rational number", s)
	}
	n.Mul(n, big.NewRat(1e9, 1))
	if !n.IsInt() {
		return 0, errors.New("value is too precise")
	}
	return n.Num().Int64(), nil
}

// limitNames are the resource limits that --ulimit takes.
const limitNames = " core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack "

// parseUlimit reads NAME=SOFT[:HARD]; -1 is no limit.
func parseUlimit(s string) (ulimit, error) {
	name, limits, ok := strings.Cut(s, "=")
	if !ok {
		return ulimit{}, fmt.Errorf("invalid ulimit argument: %s", s)
	}
	if name == "" || !strings.Contains(limitNames, " "+name+" ") {
		return ulimit{}, fmt.Errorf("invalid ulimit type: %s", name)
	}
	parts := strings.Split(limits, ":")
	if len(parts) > 2 {
		return ulimit{}, fmt.Errorf("too many limit value arguments - %s, can only have up to two, `soft[:hard]`", limits)
	}
	u := ulimit{Name: name}
	var err error
	if len(parts) == 2 {
		if u.Hard, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
			return u, err
		}
	}
	if u.Soft, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return u, err
	}
	if len(parts) == 1 {
		u.Hard = u.Soft
	}
	switch {
	case u.Hard == -1:
	case u.Soft == -1:
		return u, fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: %d", u.Hard)
	case u.Soft > u.Hard:
		return u, fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard)
	}
	return u, nil
}

// setUlimit adds a limit; the last one of a name counts, and the list is in order of names.
func setUlimit(all []ulimit, u ulimit) []ulimit {
	i, found := slices.BinarySearchFunc(all, u, func(a, b ulimit) int { return strings.Compare(a.Name, b.Name) })
	if found {
		all[i] = u
		return all
	}
	return slices.Insert(all, i, u)
}

// checkSysctl takes KEY=VALUE of the sysctls that a container has for itself.
func checkSysctl(s string) error {
	key, _, ok := strings.Cut(s, "=")
	switch key {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced":
	default:
		if !strings.HasPrefix(key, "net.") && !strings.HasPrefix(key, "fs.mqueue.") {
			ok = false
		}
	}
	if !ok {
		return fmt.Errorf("sysctl '%s' is not allowed", s)
	}
	return nil
}

// parseRestart reads NAME[:COUNT].
func parseRestart(s string) (restartPolicy, error) {
	name, count, ok := strings.Cut(s, ":")
	if ok && name == "" {
		return restartPolicy{}, errors.New("invalid restart policy format: no policy provided before colon")
	}
	p := restartPolicy{Name: name}
	if count != "" {
		n, err := strconv.Atoi(count)
		if err != nil {
			return p, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
		p.MaximumRetryCount = n
	}
	return p, nil
}
