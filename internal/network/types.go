package network

import (
	"net"
	"net/netip"
	"os"
	"time"
)

// Subnet is a range of addresses of a network.
type Subnet struct {
	Prefix  netip.Prefix          `json:"prefix"`
	Gateway netip.Addr            `json:"gateway"`         // the bridge's; invalid for none
	Range   netip.Prefix          `json:"range,omitzero"`  // where addresses are taken from; invalid for all of Prefix
	Aux     map[string]netip.Addr `json:"aux,omitempty"`   // by name: never given out
	Given   bool                  `json:"given,omitempty"` // by the user, not from the pool
}

// Options are what a network is asked to be.
type Options struct {
	Name       string
	Driver     string // "bridge" (""), "macvlan", "ipvlan"
	IPv4       *bool  // nil: yes
	IPv6       bool
	Internal   bool
	Attachable bool
	Subnets    []Subnet // settled ones are completed: a zero Prefix with IPv6 or IPv4 set takes from the pool
	IPAMDriver string   // "default" ("")
	IPAMOpts   map[string]string
	DriverOpts map[string]string // Docker's names, com.docker.network.…
	Labels     map[string]string
}

// Network is a network as it was created. It does not change.
type Network struct {
	ID         string            `json:"id"` // 64 hexadecimal digits
	Name       string            `json:"name"`
	Driver     string            `json:"driver"`
	Created    time.Time         `json:"created"`
	IPv4       bool              `json:"ipv4"`
	IPv6       bool              `json:"ipv6"`
	Internal   bool              `json:"internal,omitempty"`
	Attachable bool              `json:"attachable,omitempty"`
	Subnets    []Subnet          `json:"subnets,omitempty"` // IPv4 first
	IPAMDriver string            `json:"ipam_driver,omitempty"`
	IPAMOpts   map[string]string `json:"ipam_opts,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"` // as given
	Labels     map[string]string `json:"labels,omitempty"`
	Bridge     string            `json:"bridge,omitempty"` // name of the bridge's device
	Warnings   []string          `json:"-"`                // of its creation
}

// Port is a port of a container that is to be published.
type Port struct {
	Proto     string     `json:"proto"` // tcp, udp, sctp
	Container uint16     `json:"container"`
	HostIP    netip.Addr `json:"host_ip,omitzero"`   // invalid: all addresses
	Host      uint16     `json:"host,omitempty"`     // 0: any free port
	HostEnd   uint16     `json:"host_end,omitempty"` // end of a range to choose from; 0: Host
}

// Binding is a published port.
type Binding struct {
	Proto     string     `json:"proto"`
	Container uint16     `json:"container"`
	HostIP    netip.Addr `json:"host_ip"` // 0.0.0.0 and :: are two bindings
	Host      uint16     `json:"host"`
	// Judged says that the host's firewall decides about connections, as PolicyRespect has it.
	Judged bool `json:"judged,omitempty"`
}

// Bandwidth limits an endpoint, in bits per second; 0 is no limit. In and out are the container's.
type Bandwidth struct {
	In  uint64 `json:"in,omitempty"`
	Out uint64 `json:"out,omitempty"`
}

// EndpointRequest asks for a container's place in a network.
type EndpointRequest struct {
	Container string   // ID, 64 hexadecimal digits
	Name      string   // of the container
	Hostname  string   // "" for none
	Network   string   // name or ID
	NetNS     *os.File // of the container; the caller keeps it
	Aliases   []string // further names in this network
	Links     []Link   // names of other containers, for this one only

	IPv4, IPv6 netip.Addr       // invalid: from the pool
	Had4, Had6 netip.Addr       // what the container had when it last ran: taken again when it is free
	LinkLocal  []netip.Addr     // further addresses of the device
	MAC        net.HardwareAddr // nil: from the address
	Interface  string           // in the container; "" for the next free ethN
	DriverOpts map[string]string
	// GatewayPriority: the endpoint with the highest gives the container its default route; on a tie the
	// first by network name.
	GatewayPriority int

	Ports     []Port
	Bandwidth Bandwidth
	DNS       DNSConfig // the container's; the last call wins
}

// Link is a legacy link (--link): Container is known as Alias to the container that has it.
type Link struct {
	Container string `json:"container"` // ID
	Alias     string `json:"alias"`
}

// DNSConfig is what a container is told to resolve with.
type DNSConfig struct {
	Servers []netip.Addr `json:"servers,omitempty"` // asked instead of the host's; reached from the container
	Extra   []ExtraHost  `json:"extra,omitempty"`   // --add-host
}

// ExtraHost is a line of /etc/hosts.
type ExtraHost struct {
	Name string     `json:"name"`
	Addr netip.Addr `json:"addr"`
}

// Endpoint is a container's place in a network. The engine keeps it with the container.
type Endpoint struct {
	ID              string            `json:"id"` // 64 hexadecimal digits
	Container       string            `json:"container"`
	Name            string            `json:"name"`
	Hostname        string            `json:"hostname,omitempty"`
	Network         string            `json:"network"` // ID
	NetworkName     string            `json:"network_name"`
	Aliases         []string          `json:"aliases,omitempty"`
	Links           []Link            `json:"links,omitempty"`
	DNSNames        []string          `json:"dns_names,omitempty"` // all names that resolve to it
	Interface       string            `json:"interface"`           // in the container
	HostInterface   string            `json:"host_interface"`      // the other end, "" for macvlan
	MAC             string            `json:"mac"`
	IPv4            netip.Prefix      `json:"ipv4,omitzero"`
	IPv6            netip.Prefix      `json:"ipv6,omitzero"`
	Gateway4        netip.Addr        `json:"gateway4,omitzero"`
	Gateway6        netip.Addr        `json:"gateway6,omitzero"`
	LinkLocal       []netip.Addr      `json:"link_local,omitempty"`
	GatewayPriority int               `json:"gateway_priority,omitempty"`
	DriverOpts      map[string]string `json:"driver_opts,omitempty"`
	Bindings        []Binding         `json:"bindings,omitempty"`
	Ports           []Port            `json:"ports,omitempty"`
	Bandwidth       Bandwidth         `json:"bandwidth,omitzero"`
	DNS             DNSConfig         `json:"dns,omitzero"`
}

// Running is a container that runs, as [Host.Restore] is told.
type Running struct {
	NetNS     *os.File // of its init process; the caller keeps it
	Endpoints []Endpoint
}

// Policy says what an active firewall of the host means for published ports.
type Policy string

// Policies for published ports.
const (
	// PolicyRespect lets the host's own firewall judge connections to published ports, as if a
	// program of the host listened.
	PolicyRespect Policy = "respect"
	// PolicyOpen publishes whatever the host's firewall says.
	PolicyOpen Policy = "open"
)
