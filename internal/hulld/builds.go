package hulld

import (
	"context"
	"net/netip"
	"os"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/util/resolver/config"

	"github.com/hull-dev/hull/internal/build"
	"github.com/hull-dev/hull/internal/network"
)

// openBuilds makes the builder, which opens when there is a build, and sweeps what earlier ones left.
func openBuilds(c Config, s *store, e *containers, version string) *build.Builder {
	conf := build.Config{
		DataRoot: c.DataRoot, StateDir: c.StateDir, Store: s.meta, Snapshotter: s.driver, Images: s.images, Shims: e.launcher, Facts: e.facts,
		Profile: c.Profile, RegistryHosts: c.buildRegistries(), Version: version, Log: e.log,
	}
	if e.host != nil {
		conf.Networks = buildNetworks{e.host}
	}
	b := build.New(conf)
	if err := b.Sweep(); err != nil {
		e.log.Error("sweeping what a build left", "error", err)
	}
	return b
}

// buildRegistries are the registries as BuildKit's client sees them. It makes that client for each build.
func (c Config) buildRegistries() docker.RegistryHosts {
	m := make(map[string]config.RegistryConfig)
	if len(c.Mirrors) > 0 {
		m["docker.io"] = config.RegistryConfig{Mirrors: c.Mirrors}
	}
	yes := true
	for _, r := range c.Insecure {
		entry := m[r]
		entry.Insecure, entry.PlainHTTP = &yes, &yes
		m[r] = entry
	}
	return resolver.NewRegistryConfig(m)
}

// buildNetworks are the networks as the builder sees them: the default one.
type buildNetworks struct{ *network.Host }

// Attach implements build.Networks.
func (n buildNetworks) Attach(ctx context.Context, id, hostname string, extra []build.Host, netns *os.File) (hosts, resolv []byte, err error) {
	var dns network.DNSConfig
	for _, h := range extra {
		if a, err := netip.ParseAddr(h.Addr); err == nil {
			dns.Extra = append(dns.Extra, network.ExtraHost{Name: h.Name, Addr: a})
		}
	}
	got, err := n.Host.Attach(ctx, network.EndpointRequest{Container: id, Name: "build-" + id[:12], Hostname: hostname, Network: "bridge", NetNS: netns, DNS: dns})
	if err != nil {
		return nil, nil, err
	}
	var own []netip.Addr
	for _, p := range []netip.Prefix{got.IPv4, got.IPv6} {
		if p.IsValid() {
			own = append(own, p.Addr())
		}
	}
	host, err := network.ReadResolvConf("/etc/resolv.conf")
	if err != nil {
		return nil, nil, err
	}
	resolv, _ = network.Resolving{IPv6: got.IPv6.IsValid()}.File(host)
	return network.HostsFile(hostname, "", dns.Extra, own, got.IPv6.IsValid()), resolv, nil
}

// Detach implements build.Networks.
func (n buildNetworks) Detach(ctx context.Context, id string) error { return n.Release(ctx, id) }
