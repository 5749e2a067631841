// Package network connects containers: bridges, addresses, names, published ports, isolation.
//
// # Terms
//
//   - network: a bridge of this host (or a parent device, for the drivers macvlan and ipvlan) with
//     its subnets and options. Networks outlive hulld: each is a file.
//   - endpoint: a container's place in a network: device, addresses, published ports. Endpoints are
//     not written to disk here; the engine keeps each [Endpoint] with its container and hands it to
//     [Host.Restore].
//   - sandbox: a container's network namespace with the DNS sockets in it.
//   - element: an entry of a set or map of our nftables table. Whatever differs from container to
//     container is an element, so the cost of a packet does not grow with their number.
//
// # Life cycle
//
//	h, err := network.Open(network.Config{DataDir: …})      // reads, changes nothing
//	err = h.Restore(ctx, endpointsOfRunningContainers)      // brings the host in line; must be called
//	ns, err := h.NewNetNS(ctx, id, true)                    // prepared ahead where possible
//	ep, err := h.Attach(ctx, network.EndpointRequest{Container: id, Network: "bridge", NetNS: ns, …})
//	…                                                       // the container's process joins ns
//	err = h.Release(ctx, id)                                // after its last process is gone
//	h.Close()                                               // containers keep their network
//
// Everything is observe → plan → apply: what will be done is a printable list of requests
// ([rtnl.Plan], [nft.Tx]), and what the kernel should hold is kept as data, so that it can be put
// back when somebody flushes it.
//
// # What holds
//
//   - Rules are there before the first packet: a device of ours that no element names is mute.
//   - Networks do not reach each other; endpoints cannot send with another's MAC or IP address, nor
//     answer ARP or neighbour solicitations for it, nor send router advertisements.
//   - A port is translated only for packets to an address of this host (or the one it was published
//     on); one published on 127.0.0.1 is reachable from this host alone.
//   - After any failure in a call nothing of that call is left. After kill -9, Restore removes what
//     no network and no endpoint owns.
//   - Devices are not deleted on the way: the death of their namespace does it, in the background.
//
// # Locks
//
// sandbox.plumb, first, is held by who changes one container's connections. Host.mu guards the maps
// of networks, sandboxes, endpoints and leases and is never held across a call to the kernel.
// resolver.mu guards names; [Host.Rename] takes it within Host.mu. state.dev, ports.mu and firewall.mu
// (desired elements, the order of transactions) are not nested in or around those, but for plumb.
package network
