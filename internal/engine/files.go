package engine

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hull-dev/hull/internal/spec"
)

// The names of a container's own files under /etc, in its directory.
const (
	hostnameFile = "hostname"
	hostsFile    = "hosts"
	resolvFile   = "resolv.conf"
)

// maxEtc bounds what is read of the host's files, in bytes.
const maxEtc = 1 << 20

// writeFiles makes the container's /etc/hostname, /etc/hosts and /etc/resolv.conf. Those of a container
// that shares another one's network are that one's. What an attached network adds is written later,
// before the container starts.
func (c *Container) writeFiles(shared *View) (f spec.Files, err error) {
	v := c.view.Load()
	if shared != nil {
		return spec.Files{Hostname: shared.file(hostnameFile), Hosts: shared.file(hostsFile), ResolvConf: shared.file(resolvFile)}, nil
	}
	f = spec.Files{Hostname: v.file(hostnameFile), Hosts: v.file(hostsFile), ResolvConf: v.file(resolvFile)}
	if err := writeEtc(f.Hostname, []byte(v.Config.Hostname+"\n")); err != nil {
		return f, err
	}
	hosts, err := c.hosts()
	if err != nil {
		return f, err
	}
	if err := writeEtc(f.Hosts, hosts); err != nil {
		return f, err
	}
	resolv, err := resolvConf(v)
	if err != nil {
		return f, err
	}
	return f, writeEtc(f.ResolvConf, resolv)
}

// writeEtc writes a file that may be mounted in a running container: in place.
func writeEtc(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("making a file of the container's /etc: %w", err)
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing a file of the container's /etc: %w", err)
	}
	return nil
}

// localhost is how every /etc/hosts begins, as Docker's.
const localhost = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

// hosts is /etc/hosts without a network.
func (c *Container) hosts() ([]byte, error) {
	v := c.view.Load()
	var b bytes.Buffer
	if v.Host.NetworkMode.IsHost() {
		host, err := readEtc("/etc/hosts")
		if err != nil {
			return nil, err
		}
		b.Write(host)
	} else {
		b.WriteString(localhost)
	}
	for _, h := range v.Host.ExtraHosts {
		name, addr, ok := strings.Cut(h, "=")
		if !ok {
			name, addr, _ = strings.Cut(h, ":")
		}
		if addr == "host-gateway" {
			continue // a network says what it is
		}
		fmt.Fprintf(&b, "%s\t%s\n", strings.Trim(addr, "[]"), name)
	}
	return b.Bytes(), nil
}

// resolvConf is /etc/resolv.conf without a network: the host's, with what the container asks for.
func resolvConf(v *View) ([]byte, error) {
	host, err := readEtc("/etc/resolv.conf")
	if err != nil {
		return nil, err
	}
	if len(v.Host.DNS)+len(v.Host.DNSSearch)+len(v.Host.DNSOptions) == 0 {
		return host, nil
	}
	var b bytes.Buffer
	keep := map[string]bool{"nameserver": len(v.Host.DNS) == 0, "search": len(v.Host.DNSSearch) == 0, "domain": len(v.Host.DNSSearch) == 0, "options": len(v.Host.DNSOptions) == 0}
	for line := range strings.Lines(string(host)) {
		if f := strings.Fields(line); len(f) > 1 && keep[f[0]] {
			b.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	for _, a := range v.Host.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if s := v.Host.DNSSearch; len(s) > 0 && (len(s) > 1 || s[0] != ".") {
		fmt.Fprintf(&b, "search %s\n", strings.Join(s, " "))
	}
	if o := v.Host.DNSOptions; len(o) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(o, " "))
	}
	return b.Bytes(), nil
}

func readEtc(path string) ([]byte, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxEtc))
}
