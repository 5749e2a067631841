package network

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
)

// Config is what the networks of a host need to know.
type Config struct {
	DataDir string // of the networks, one file each; made when it is not there, 0700
	// Instance tells several hulld in one network namespace apart: "" for the first, whose devices and
	// table are called hull…; up to 8 letters and digits for others.
	Instance string
	Pools    []Pool // nil for [DefaultPools]
	// DefaultBridge are options of the network "bridge" when it is first made: Subnets, DriverOpts, IPv6.
	DefaultBridge Options
	APIPorts      []uint16   // TCP ports of hulld's API: containers' packets to them are dropped
	HostIP        netip.Addr // where ports are published that name no address of the host; invalid: everywhere
	// Publish says what a firewall of the host means for published ports; "" respects one that is active
	// when the port is published.
	Publish    Policy
	ResolvConf string // "" for /etc/resolv.conf
	Prepared   int    // network namespaces to keep ready; 0 for none
	// Unowned leaves the nftables table open to changes by others, as kernels before 6.9 have it.
	Unowned bool
	// KeepForward leaves packets between the host's other devices alone though hulld switched forwarding
	// on. By default the host is no router for others because of it.
	KeepForward bool
	Log         *slog.Logger
}

// Host is the networks of a host. It may be used by several goroutines.
type Host struct {
	cfg   Config
	log   *slog.Logger
	tag   string // begins the names of our devices: four characters
	fw    *firewall
	dns   resolver
	ports ports
	stop  context.CancelFunc
	bg    sync.WaitGroup

	ipv6    bool          // the kernel has it
	ready   chan *netns   // prepared network namespaces
	refill  chan struct{} // asks for more
	running context.Context

	mu       sync.Mutex
	networks map[string]*state   // by ID
	boxes    map[string]*sandbox // by container
	restored bool

	divertOnce sync.Mutex
	diverting  bool

	conns chan *rtnl.Conn // idle, in the host's namespace
}

// state is a network and what is in it. Its maps are guarded by Host.mu.
type state struct {
	*Network
	set       settings
	v4, v6    *leases
	endpoints map[string]*Endpoint // by endpoint ID
	leaving   bool                 // being removed: no new endpoints

	dev sync.Mutex // held while the bridge's device is made or looked at
	// Of the device, guarded by dev.
	index int
	mtu   int
}

// Open reads the networks. It changes nothing on the host: see [Host.Restore].
func Open(cfg Config) (*Host, error) {
	if len(cfg.Instance) > 8 || strings.ContainsFunc(cfg.Instance, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return nil, invalid("network instance %q: want up to 8 small letters and digits", cfg.Instance)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Pools == nil {
		cfg.Pools = DefaultPools()
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if err := os.MkdirAll(filepath.Join(cfg.DataDir, "networks"), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the networks: %w", err)
	}
	h := &Host{cfg: cfg, log: cfg.Log, tag: "hv00", networks: make(map[string]*state), boxes: make(map[string]*sandbox)}
	if cfg.Instance != "" {
		sum := sha256.Sum256([]byte(cfg.Instance))
		h.tag = "hv" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:2])[:2])
	}
	h.dns.init(h)
	_, err := os.Stat("/proc/sys/net/ipv6")
	h.ipv6 = err == nil
	if err := h.load(); err != nil {
		return nil, err
	}
	conn, err := nft.Open()
	if err != nil {
		return nil, err
	}
	h.fw = newFirewall(conn, cfg, h.tag)
	h.conns = make(chan *rtnl.Conn, 8)
	h.running, h.stop = context.WithCancel(context.Background())
	h.ready, h.refill = make(chan *netns, max(cfg.Prepared, 1)), make(chan struct{}, 1)
	return h, nil
}

// name is what things of this instance are called: "hull", "hull-x".
func (c Config) name() string {
	if c.Instance == "" {
		return "hull"
	}
	return "hull-" + c.Instance
}

// Close stops what runs in hulld for the networks: DNS, proxies, the watch over the rules. The
// kernel goes on: containers keep their addresses and published ports.
func (h *Host) Close() error {
	h.stop()
	h.bg.Wait()
	h.mu.Lock()
	boxes := h.boxes
	h.boxes = make(map[string]*sandbox)
	h.mu.Unlock()
	var errs []error
	h.ports.closeAll()
	for _, b := range boxes {
		b.closeAll()
	}
	for {
		select {
		case n := <-h.ready:
			n.close()
			continue
		default:
		}
		break
	}
	close(h.conns)
	for c := range h.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, h.fw.close())...)
}

// route lends a socket to the host's routing tables.
func (h *Host) route(f func(c *rtnl.Conn) error) error {
	var c *rtnl.Conn
	select {
	case c = <-h.conns:
	default:
		var err error
		if c, err = rtnl.Open(); err != nil {
			return err
		}
	}
	err := f(c)
	if err != nil {
		c.Close() // what it still has to read is not ours
		return err
	}
	select {
	case h.conns <- c:
	default:
		c.Close()
	}
	return nil
}
