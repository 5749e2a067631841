package spec

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// Validate checks a container's configuration as dockerd does when it creates one, in its order and
// with its texts, and changes host as dockerd does: limits that the kernel cannot hold are taken
// away with a warning, and what is empty and has a default gets it. Mounts and ports are checked
// by packages volume and network. Errors are of the class errdefs.ErrInvalidArgument.
func Validate(c *container.Config, h *container.HostConfig, f *Facts) (warnings []string, err error) {
	defer func() {
		if err != nil && !errdefs.IsNotImplemented(err) && !errdefs.IsInvalidArgument(err) {
			err = invalid(err.Error())
		}
	}()
	if len(Args(c)) == 0 {
		return nil, fmt.Errorf("no command specified")
	}
	if err := validateNetworkMode(c, h); err != nil {
		return nil, err
	}
	if err := validateConfig(c); err != nil {
		return nil, err
	}
	if err := validateHost(h, f); err != nil {
		return nil, err
	}
	warnings, err = ValidateResources(&h.Resources, f, false)
	if err != nil {
		return warnings, err
	}
	more, err := validateModes(h, f)
	warnings = append(warnings, more...)
	if err == nil {
		Complete(h, f)
	}
	return warnings, err
}

// validateNetworkMode refuses what does not go with another container's or the host's network.
func validateNetworkMode(c *container.Config, h *container.HostConfig) error {
	if h.NetworkMode == "" {
		h.NetworkMode = "default"
	}
	if string(h.NetworkMode) == "container" || h.NetworkMode.IsContainer() {
		for _, conflict := range []struct {
			is   bool
			text string
		}{
			{h.NetworkMode.ConnectedContainer() == "", "invalid network mode: invalid container format container:<name|id>"},
			{c.Hostname != "", "conflicting options: hostname and the network mode"},
			{len(h.Links) > 0, "conflicting options: container type network can't be used with links. This would result in undefined behavior"},
			{len(h.DNS) > 0, "conflicting options: dns and the network mode"},
			{len(h.ExtraHosts) > 0, "conflicting options: custom host-to-IP mapping and the network mode"},
			{len(h.PortBindings) > 0 || h.PublishAllPorts, "conflicting options: port publishing and the container type network mode"},
			{len(c.ExposedPorts) > 0, "conflicting options: port exposing and the container type network mode"},
		} {
			if conflict.is {
				return invalid(conflict.text)
			}
		}
	}
	if h.UTSMode.IsHost() && c.Hostname != "" {
		return invalid("conflicting options: hostname and the UTS mode")
	}
	if h.NetworkMode.IsHost() && len(h.Links) > 0 {
		return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	}
	return nil
}

func validateConfig(c *container.Config) error {
	if c.WorkingDir != "" {
		if !path.IsAbs(c.WorkingDir) {
			return invalid(fmt.Sprintf("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir))
		}
		c.WorkingDir = path.Clean(c.WorkingDir)
	}
	if c.StopSignal != "" {
		if _, err := ParseSignal(c.StopSignal); err != nil {
			return err
		}
	}
	for _, e := range c.Env {
		if k, _, _ := strings.Cut(e, "="); k == "" {
			return invalid("invalid environment variable: " + e)
		}
	}
	for what, s := range map[string][]string{"environment variable": c.Env, "argument": Args(c), "working directory": {c.WorkingDir}, "hostname": {c.Hostname, c.Domainname}, "user": {c.User}} {
		for _, v := range s {
			if strings.ContainsRune(v, 0) {
				return invalid(fmt.Sprintf("invalid %s: %q has a zero byte", what, v))
			}
		}
	}
	return validateHealth(c.Healthcheck)
}

func validateHealth(h *container.HealthConfig) error {
	if h == nil {
		return nil
	}
	const least = container.MinimumDuration
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}} {
		if d.value != 0 && d.value < least {
			return invalid(fmt.Sprintf("%s in Healthcheck cannot be less than %s", d.name, least))
		}
	}
	if h.Retries < 0 {
		return invalid("Retries in Healthcheck cannot be negative")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}} {
		if d.value != 0 && d.value < least {
			return invalid(fmt.Sprintf("%s in Healthcheck cannot be less than %s", d.name, least))
		}
	}
	return nil
}

// validateHost is what does not depend on limits.
func validateHost(h *container.HostConfig, f *Facts) error {
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	if err := container.ValidateRestartPolicy(h.RestartPolicy); err != nil {
		return invalid(err.Error())
	}
	if _, err := NormalizeCaps(f.Capabilities, h.CapAdd); err != nil {
		return invalid("invalid CapAdd: " + err.Error())
	}
	if _, err := NormalizeCaps(f.Capabilities, h.CapDrop); err != nil {
		return invalid("invalid CapDrop: " + err.Error())
	}
	if !h.Isolation.IsDefault() {
		return invalid(fmt.Sprintf("invalid isolation '%s' on %s", h.Isolation, runtime.GOOS))
	}
	if _, ok := h.Annotations[""]; ok {
		return invalid("invalid Annotations: the empty string is not permitted as an annotation key")
	}
	s, err := ParseSecurityOpt(h.SecurityOpt)
	if err != nil {
		return err
	}
	if err := (&builder{Input: Input{Facts: f}, security: s}).selinux(); err != nil {
		return err
	}
	for _, u := range h.Ulimits {
		if err := checkUlimit(u); err != nil {
			return err
		}
	}
	for _, d := range h.Devices {
		if !path.IsAbs(d.PathOnHost) || d.PathInContainer != "" && !path.IsAbs(d.PathInContainer) || !devicePermissions(d.CgroupPermissions) {
			return invalid(fmt.Sprintf("invalid device %q: it is an absolute path on the host, one in the container, and permissions of r, w and m", d.PathOnHost+":"+d.PathInContainer+":"+d.CgroupPermissions))
		}
	}
	if _, err := deviceRules(h.DeviceCgroupRules); err != nil {
		return err
	}
	if err := refuseDeviceRequests(h.DeviceRequests); err != nil {
		return err
	}
	if h.Umask != nil && *h.Umask > 0o777 {
		return invalid(fmt.Sprintf("invalid umask %#o", *h.Umask))
	}
	for _, list := range [][]string{h.MaskedPaths, h.ReadonlyPaths} {
		for _, p := range list {
			if !path.IsAbs(p) {
				return invalid(fmt.Sprintf("invalid path %q to be masked or read-only: it must be absolute", p))
			}
		}
	}
	return nil
}

// validateModes checks the namespaces and what goes with them.
func validateModes(h *container.HostConfig, f *Facts) (warnings []string, err error) {
	switch {
	case !h.IpcMode.Valid():
		return nil, invalid(fmt.Sprintf("invalid IPC mode: %v", h.IpcMode))
	case !h.PidMode.Valid():
		return nil, invalid(fmt.Sprintf("invalid PID mode: %v", h.PidMode))
	case h.ShmSize < 0:
		return nil, invalid("SHM size can not be less than 0")
	case !h.UTSMode.Valid():
		return nil, invalid(fmt.Sprintf("invalid UTS mode: %v", h.UTSMode))
	case !h.UsernsMode.Valid():
		return nil, invalid(fmt.Sprintf("invalid user namespace mode: %v", h.UsernsMode))
	case !h.Cgroup.Valid():
		return nil, invalid(fmt.Sprintf("invalid cgroup: %v", h.Cgroup))
	case h.OomScoreAdj < -1000 || h.OomScoreAdj > 1000:
		return nil, invalid(fmt.Sprintf("Invalid value %d, range for oom score adj is [-1000, 1000]", h.OomScoreAdj))
	}
	if f.IPv4ForwardingDisabled && !h.NetworkMode.IsHost() && !h.NetworkMode.IsNone() {
		warnings = append(warnings, "IPv4 forwarding is disabled. Networking will not work.")
	}
	if h.NetworkMode.IsHost() && len(h.PortBindings) > 0 {
		warnings = append(warnings, "Published ports are discarded when using host network mode")
	}
	if h.CgroupParent != "" && f.SystemdCgroup && (len(h.CgroupParent) <= len(".slice") || !strings.HasSuffix(h.CgroupParent, ".slice")) {
		return warnings, invalid(`cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"`)
	}
	if slices.Contains(strings.Split(h.CgroupParent, "/"), "..") {
		return warnings, invalid(fmt.Sprintf("invalid cgroup-parent %q: it leads up", h.CgroupParent))
	}
	if h.Runtime != "" && !slices.Contains(f.Runtimes, h.Runtime) {
		return warnings, invalid(fmt.Sprintf("unknown or invalid runtime name: %s", h.Runtime))
	}
	for dest, options := range h.Tmpfs {
		if !path.IsAbs(dest) {
			return warnings, invalid(fmt.Sprintf("invalid mount path: '%s' mount path must be absolute", dest))
		}
		if path.Clean(dest) == "/" {
			return warnings, invalid("invalid specification: destination can't be '/'")
		}
		if options != "" {
			if _, err := mergeTmpfs(strings.Split(options, ",")); err != nil {
				return warnings, err
			}
		}
	}
	if !h.CgroupnsMode.Valid() {
		return warnings, invalid(fmt.Sprintf("invalid cgroup namespace mode: %v", h.CgroupnsMode))
	}
	return warnings, checkSysctls(h.Sysctls, h.NetworkMode.IsHost(), h.IpcMode.IsHost(), h.UTSMode.IsHost())
}

// Complete sets what is empty and has a default that does not depend on the container's image, so that
// inspect shows it.
func Complete(h *container.HostConfig, f *Facts) {
	if h.Memory > 0 && h.MemorySwap == 0 {
		h.MemorySwap = h.Memory * 2
	}
	if h.ShmSize == 0 {
		h.ShmSize = defaultShmSize
	}
	if h.IpcMode.IsEmpty() {
		h.IpcMode = container.IPCModePrivate
	}
	s, _ := ParseSecurityOpt(h.SecurityOpt)
	if h.CgroupnsMode.IsEmpty() {
		h.CgroupnsMode = container.CgroupnsModePrivate
		if p, err := profileOf(s.Profile); !f.Unified && (h.Privileged || err == nil && !p.cgroupNamespace) {
			h.CgroupnsMode = container.CgroupnsModeHost
		}
	}
	if h.OomKillDisable == nil && f.Controllers.OomKillDisable {
		h.OomKillDisable = new(bool)
	}
	if h.Runtime == "" {
		h.Runtime = f.DefaultRuntime
	}
	if !s.SystemPaths && h.MaskedPaths == nil && h.ReadonlyPaths == nil {
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}
	if h.Privileged {
		return
	}
	masked, readonly, err := DefaultPaths(s.Profile, f)
	if err != nil {
		return
	}
	if h.MaskedPaths == nil {
		h.MaskedPaths = masked
	}
	if h.ReadonlyPaths == nil {
		h.ReadonlyPaths = readonly
	}
}
