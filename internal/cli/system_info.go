package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/system"
)

// clientInfo is hull's part of info.
type clientInfo struct {
	Debug    bool
	Version  string `json:",omitempty"`
	Context  string
	Plugins  []string
	Warnings []string
}

// shownInfo is what a template of info sees.
type shownInfo struct {
	*system.Info
	ServerErrors []string    `json:",omitempty"`
	ClientInfo   *clientInfo `json:",omitempty"`
}

func (a *App) info(ctx context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 'f', "", inspectFormatHelp)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	shown := shownInfo{ClientInfo: &clientInfo{Version: a.Version, Context: a.currentContext(), Plugins: []string{}}}
	var raw json.RawMessage
	failed := a.client.get(ctx, call{method: "GET", path: "/info"}, &raw)
	if failed == nil {
		shown.Info = new(system.Info)
		if err := json.Unmarshal(raw, shown.Info); err != nil {
			return fmt.Errorf("reading the answer of hulld: %w", err)
		}
	}
	var answer *answerError
	if errors.As(failed, &answer) {
		shown.ServerErrors = []string{failed.Error()}
	}
	switch {
	case *format == "json":
		if shown.Info == nil {
			shown.Info = new(system.Info)
		}
		text, err := json.Marshal(shown)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "%s\n", text)
		return failed
	case *format != "":
		if shown.Info == nil {
			shown.Info = new(system.Info)
		}
		err := formatted(a.Out, *format, []any{shown}, nil)
		return errors.Join(failed, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Client:\n Version:    %s\n Context:    %s\n Debug Mode: false\n\nServer:\n", a.Version, shown.ClientInfo.Context)
	if shown.Info != nil {
		printInfo(&b, shown.Info)
	}
	if _, err := b.WriteTo(a.Out); err != nil {
		return err
	}
	if shown.Info != nil {
		for _, w := range shown.Info.Warnings {
			fmt.Fprintln(a.Err, w)
		}
	}
	if len(shown.ServerErrors) > 0 {
		fmt.Fprintln(a.Err, "ERROR:", failed)
		return errors.New("errors pretty printing info")
	}
	return failed
}

// printInfo prints a daemon's facts as Docker does.
func printInfo(w io.Writer, i *system.Info) {
	line := func(name string, value any) {
		if value != "" {
			fmt.Fprintf(w, " %s: %v\n", name, value)
		}
	}
	fmt.Fprintf(w, " Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d\n Images: %d\n", i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped, i.Images)
	line("Server Version", i.ServerVersion)
	line("Storage Driver", i.Driver)
	for _, pair := range i.DriverStatus {
		fmt.Fprintf(w, "  %s: %s\n", pair[0], pair[1])
	}
	line("Logging Driver", i.LoggingDriver)
	line("Cgroup Driver", i.CgroupDriver)
	line("Cgroup Version", i.CgroupVersion)
	fmt.Fprintf(w, " Plugins:\n  Volume: %s\n  Network: %s\n", strings.Join(i.Plugins.Volume, " "), strings.Join(i.Plugins.Network, " "))
	if len(i.Plugins.Authorization) > 0 {
		fmt.Fprintf(w, "  Authorization: %s\n", strings.Join(i.Plugins.Authorization, " "))
	}
	fmt.Fprintf(w, "  Log: %s\n", strings.Join(i.Plugins.Log, " "))
	if len(i.CDISpecDirs) > 0 {
		fmt.Fprintf(w, " CDI spec directories:\n  %s\n", strings.Join(i.CDISpecDirs, "\n  "))
	}
	if len(i.DiscoveredDevices) > 0 {
		fmt.Fprintln(w, " Discovered Devices:")
		for _, d := range i.DiscoveredDevices {
			fmt.Fprintf(w, "  %s: %s\n", d.Source, d.ID)
		}
	}
	line("Swarm", string(i.Swarm.LocalNodeState))
	if len(i.Runtimes) > 0 {
		fmt.Fprintf(w, " Runtimes: %s\n Default Runtime: %s\n", strings.Join(sortedKeys(i.Runtimes), " "), i.DefaultRuntime)
	}
	fmt.Fprintf(w, " Init Binary: %s\n containerd version: %s\n runc version: %s\n init version: %s\n", i.InitBinary, i.ContainerdCommit.ID, i.RuncCommit.ID, i.InitCommit.ID)
	printSecurity(w, i.SecurityOptions)
	line("Kernel Version", i.KernelVersion)
	line("Operating System", i.OperatingSystem)
	line("OSType", i.OSType)
	line("Architecture", i.Architecture)
	fmt.Fprintf(w, " CPUs: %d\n Total Memory: %s\n", i.NCPU, units.BytesSize(float64(i.MemTotal)))
	line("Name", i.Name)
	line("ID", i.ID)
	fmt.Fprintf(w, " Docker Root Dir: %s\n Debug Mode: %v\n", i.DockerRootDir, i.Debug)
	if i.Debug {
		fmt.Fprintf(w, "  File Descriptors: %d\n  Goroutines: %d\n  System Time: %s\n  EventsListeners: %d\n", i.NFd, i.NGoroutines, i.SystemTime, i.NEventsListener)
	}
	line("HTTP Proxy", i.HTTPProxy)
	line("HTTPS Proxy", i.HTTPSProxy)
	line("No Proxy", i.NoProxy)
	if len(i.Labels) > 0 {
		fmt.Fprintf(w, " Labels:\n  %s\n", strings.Join(i.Labels, "\n  "))
	}
	fmt.Fprintf(w, " Experimental: %v\n", i.ExperimentalBuild)
	printRegistries(w, i)
	fmt.Fprintf(w, " Live Restore Enabled: %v\n", i.LiveRestoreEnabled)
	line("Product License", i.ProductLicense)
	if len(i.DefaultAddressPools) > 0 {
		fmt.Fprintln(w, " Default Address Pools:")
		for _, p := range i.DefaultAddressPools {
			fmt.Fprintf(w, "   Base: %v, Size: %d\n", p.Base, p.Size)
		}
	}
	fmt.Fprintln(w)
}

// printSecurity prints options such as "name=seccomp,profile=builtin".
func printSecurity(w io.Writer, opts []string) {
	if len(opts) == 0 {
		return
	}
	fmt.Fprintln(w, " Security Options:")
	for _, opt := range opts {
		name, profile := opt, ""
		for field := range strings.SplitSeq(opt, ",") {
			switch k, v, _ := strings.Cut(field, "="); k {
			case "name":
				name = v
			case "profile":
				profile = v
			}
		}
		fmt.Fprintf(w, "  %s\n", name)
		if profile != "" {
			fmt.Fprintf(w, "   Profile: %s\n", profile)
		}
	}
}

func printRegistries(w io.Writer, i *system.Info) {
	r := i.RegistryConfig
	if r == nil {
		return
	}
	if len(r.InsecureRegistryCIDRs) > 0 || len(r.IndexConfigs) > 0 {
		fmt.Fprintln(w, " Insecure Registries:")
		for _, name := range sortedKeys(r.IndexConfigs) {
			if c := r.IndexConfigs[name]; c != nil && !c.Secure {
				fmt.Fprintf(w, "  %s\n", c.Name)
			}
		}
		for _, c := range r.InsecureRegistryCIDRs {
			fmt.Fprintf(w, "  %v\n", c)
		}
	}
	if len(r.Mirrors) > 0 {
		fmt.Fprintf(w, " Registry Mirrors:\n  %s\n", strings.Join(r.Mirrors, "\n  "))
	}
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
