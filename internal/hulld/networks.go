package hulld

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	api "github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/network"
)

// networks are the networks as the engine sees them.
type networks struct {
	*network.Host
	bus *events.Bus
	log *slog.Logger
}

// kept is what the record of a container has of its connections.
type kept struct {
	NetNS     uint64 // inode of the namespace: it tells whether a pid is still the container's
	Endpoints []network.Endpoint
}

// Resolve implements engine.Networks.
func (n networks) Resolve(_ context.Context, r engine.NetworkRequest) (map[string]*api.EndpointSettings, error) {
	out := make(map[string]*api.EndpointSettings)
	want := maps.Clone(r.Endpoints)
	if want == nil {
		want = make(map[string]*api.EndpointSettings)
	}
	mode := string(r.Host.NetworkMode)
	if _, ok := want["default"]; ok && mode == "bridge" {
		want["bridge"] = want["default"]
		delete(want, "default")
	}
	main, err := n.Find(mode)
	if err != nil {
		return nil, err
	}
	if want[mode] == nil && want[main.Name] == nil && want[main.ID] == nil {
		want[mode] = &api.EndpointSettings{}
	}
	for name, ep := range want {
		nw, err := n.Find(name)
		if err != nil {
			return nil, err
		}
		if ep == nil {
			ep = &api.EndpointSettings{}
		}
		if out[nw.Name] != nil && name == nw.Name {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network %s is named twice", nw.Name))
		}
		ep = ep.Copy()
		ep.NetworkID = nw.ID
		ep.EndpointID, ep.DNSNames = "", nil // the client may have copied them from another container
		if err := named(nw, ep); err != nil {
			return nil, err
		}
		out[nw.Name] = ep
	}
	_, err = published(r.Config, r.Host)
	return out, err
}

// Attach implements engine.Networks.
func (n networks) Attach(ctx context.Context, r engine.NetworkRequest, ns *os.File) (a engine.Attached, err error) {
	ports, err := published(r.Config, r.Host)
	if err != nil {
		return a, err
	}
	names := inOrder(r)
	on := n.portsOn(r.Endpoints)
	for _, name := range names {
		req := n.request(r, name, ns)
		if name == on {
			req.Ports = ports
		}
		if err := n.attach(ctx, req); err != nil {
			return a, err
		}
	}
	return n.Look(ctx, r, ns)
}

// request asks for a container's place in one of its networks.
func (n networks) request(r engine.NetworkRequest, name string, ns *os.File) network.EndpointRequest {
	ep, had := r.Endpoints[name], r.Had[name]
	req := network.EndpointRequest{
		Container: string(r.ID), Name: r.Name, Hostname: r.Config.Hostname, Network: name, NetNS: ns, Aliases: ep.Aliases,
		MAC: net.HardwareAddr(ep.MacAddress), DriverOpts: ep.DriverOpts, GatewayPriority: ep.GwPriority,
		DNS:  network.DNSConfig{Servers: r.Host.DNS, Extra: n.extraHosts(r.Host)},
		Had4: had.IPv4, Had6: had.IPv6,
	}
	for alias, id := range r.Links {
		req.Links = append(req.Links, network.Link{Container: string(id), Alias: alias})
	}
	if c := ep.IPAMConfig; c != nil {
		req.IPv4, req.IPv6, req.LinkLocal = c.IPv4Address, c.IPv6Address, c.LinkLocalIPs
	}
	return req
}

func (n networks) attach(ctx context.Context, req network.EndpointRequest) error {
	e, err := n.Host.Attach(ctx, req)
	if err == nil {
		n.publish("connect", e)
	}
	return err
}

// publish tells the world that a container came into a network or left it.
func (n networks) publish(action string, e *network.Endpoint) {
	nw, err := n.Find(e.Network)
	if err != nil {
		return
	}
	n.bus.Publish(events.Event{Type: events.Network, Action: action, Actor: events.Actor{ID: nw.ID, Attributes: map[string]string{"container": e.Container, "name": nw.Name, "type": nw.Driver}}})
}

// portsOn is the network that published ports are on: where the container's answers go, "" for none.
func (n networks) portsOn(eps map[string]*api.EndpointSettings) (best string) {
	for name, ep := range eps {
		nw, err := n.Find(name)
		if err != nil || nw.Driver != "bridge" || nw.Internal {
			continue
		}
		if best == "" || ep.GwPriority > eps[best].GwPriority || ep.GwPriority == eps[best].GwPriority && name < best {
			best = name
		}
	}
	return best
}

// Look implements engine.Networks.
func (n networks) Look(_ context.Context, r engine.NetworkRequest, ns *os.File) (a engine.Attached, err error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(ns.Fd()), &st); err != nil {
		return a, os.NewSyscallError("fstat", err)
	}
	keep := kept{NetNS: st.Ino, Endpoints: n.Of(string(r.ID))}
	a.Endpoints, a.Ports = make(map[string]*api.EndpointSettings), api.PortMap{}
	var own []netip.Addr
	ipv6, embedded := false, false
	for i := range keep.Endpoints {
		e := &keep.Endpoints[i]
		ep := r.Endpoints[e.NetworkName]
		if ep == nil {
			ep = &api.EndpointSettings{}
		}
		a.Endpoints[e.NetworkName] = settings(ep, e)
		addBindings(a.Ports, e.Bindings)
		for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
			if p.IsValid() {
				own = append(own, p.Addr())
			}
		}
		ipv6 = ipv6 || e.IPv6.IsValid()
		embedded = embedded || e.NetworkName != network.DefaultName
	}
	a.Hosts = network.HostsFile(r.Config.Hostname, r.Config.Domainname, n.extraHosts(r.Host), own, ipv6)
	host, err := network.ReadResolvConf("/etc/resolv.conf")
	if err != nil {
		return a, err
	}
	a.Resolv, _ = network.Resolving{Servers: r.Host.DNS, Search: r.Host.DNSSearch, Options: r.Host.DNSOptions, Embedded: embedded, IPv6: ipv6}.File(host)
	a.State, err = json.Marshal(keep)
	return a, err
}

// Detach implements engine.Networks.
func (n networks) Detach(ctx context.Context, id engine.ID) error {
	had := n.Of(string(id))
	err := n.Release(ctx, string(id))
	for i := range had {
		n.publish("disconnect", &had[i])
	}
	return err
}

// Restore implements engine.Networks.
func (n networks) Restore(ctx context.Context, running []engine.Connected) error {
	var list []network.Running
	defer func() {
		for _, r := range list {
			r.NetNS.Close()
		}
	}()
	for _, c := range running {
		var k kept
		if err := json.Unmarshal(c.State, &k); err != nil {
			n.log.Error("a container's record of its networks cannot be read", "container", c.ID, "error", err)
			continue
		}
		ns, err := os.Open("/proc/" + strconv.Itoa(c.Pid) + "/ns/net")
		if err != nil {
			continue // it ended
		}
		var st syscall.Stat_t
		if err := syscall.Fstat(int(ns.Fd()), &st); err != nil || st.Ino != k.NetNS {
			ns.Close()
			continue // the pid is another process's now
		}
		list = append(list, network.Running{NetNS: ns, Endpoints: k.Endpoints})
	}
	return n.Host.Restore(ctx, list)
}

// inOrder are the networks of a container, the one that its mode names first: that is eth0.
func inOrder(r engine.NetworkRequest) []string {
	names := slices.Sorted(maps.Keys(r.Endpoints))
	if i := slices.Index(names, string(r.Host.NetworkMode)); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, string(r.Host.NetworkMode))
	}
	return names
}

// settings are an endpoint in the API's form, with what was asked for.
func settings(asked *api.EndpointSettings, e *network.Endpoint) *api.EndpointSettings {
	out := asked.Copy()
	out.NetworkID, out.EndpointID, out.DNSNames = e.Network, e.ID, e.DNSNames
	out.Gateway, out.IPv6Gateway = e.Gateway4, e.Gateway6
	if e.IPv4.IsValid() {
		out.IPAddress, out.IPPrefixLen = e.IPv4.Addr(), e.IPv4.Bits()
	}
	if e.IPv6.IsValid() {
		out.GlobalIPv6Address, out.GlobalIPv6PrefixLen = e.IPv6.Addr(), e.IPv6.Bits()
	}
	if mac, err := net.ParseMAC(e.MAC); err == nil {
		out.MacAddress = api.HardwareAddr(mac)
	}
	return out
}

func addBindings(to api.PortMap, bindings []network.Binding) {
	for _, b := range bindings {
		if p, ok := api.PortFrom(b.Container, api.IPProtocol(b.Proto)); ok {
			to[p] = append(to[p], api.PortBinding{HostIP: b.HostIP, HostPort: strconv.Itoa(int(b.Host))})
		}
	}
}

// published are the ports that a container asks to be published.
func published(c *container.Config, h *container.HostConfig) (out []network.Port, err error) {
	add := func(p api.Port, b api.PortBinding) error {
		x := network.Port{Proto: string(p.Proto()), Container: p.Num(), HostIP: b.HostIP}
		if b.HostPort != "" {
			r, err := api.ParsePortRange(b.HostPort)
			if err != nil {
				return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", b.HostPort))
			}
			x.Host = r.Start()
			if r.End() != r.Start() {
				x.HostEnd = r.End()
			}
		}
		out = append(out, x)
		return nil
	}
	for p, list := range h.PortBindings {
		if len(list) == 0 {
			list = []api.PortBinding{{}}
		}
		for _, b := range list {
			if err := add(p, b); err != nil {
				return nil, err
			}
		}
	}
	if h.PublishAllPorts {
		for p := range c.ExposedPorts {
			if len(h.PortBindings[p]) == 0 {
				if err := add(p, api.PortBinding{}); err != nil {
					return nil, err
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b network.Port) int {
		return strings.Compare(fmt.Sprintf("%05d%s", a.Container, a.Proto), fmt.Sprintf("%05d%s", b.Container, b.Proto))
	})
	return out, nil
}

// extraHosts are the container's --add-host. "host-gateway" is the address of the default network's
// bridge.
func (n networks) extraHosts(h *container.HostConfig) (out []network.ExtraHost) {
	for _, e := range h.ExtraHosts {
		name, addr, ok := strings.Cut(e, "=")
		if !ok {
			name, addr, _ = strings.Cut(e, ":")
		}
		if addr == "host-gateway" {
			for _, a := range n.HostGateway() {
				out = append(out, network.ExtraHost{Name: name, Addr: a})
			}
		} else if a, err := netip.ParseAddr(strings.Trim(addr, "[]")); err == nil {
			out = append(out, network.ExtraHost{Name: name, Addr: a})
		}
	}
	return out
}
