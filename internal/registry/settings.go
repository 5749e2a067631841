package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/reference"
)

// Settings are a daemon's configuration of registries: files of its own, and what Docker's daemon.json and certs.d say. They
// implement [Hosts].
//
// A registry with a hosts.toml in Dir is as that says, and nothing else here is about it. For the others:
//
//   - Mirrors are asked before docker.io, in order, and never written to.
//   - A host of Insecure is asked for TLS without a look at its certificate, and spoken plain HTTP to if it answers so.
//   - Certificates are read from CertDirs, each with a directory named as the host (host:port with a port): *.crt
//     are further authorities, NAME.cert with NAME.key is a client certificate. Files are read when a client first meets
//     the registry.
type Settings struct {
	Dir      HostsDir
	CertDirs []string
	Mirrors  []string // URLs; http:// is what allows plain HTTP
	// Insecure are host[:port], or networks (10.0.0.0/8) that hosts given by address are held to. A name is not
	// resolved: who answers for names must not decide who is trusted.
	Insecure []string
}

// Check refuses settings that mean nothing.
func (s Settings) Check() error {
	for _, m := range s.Mirrors {
		if _, err := mirror(m); err != nil {
			return err
		}
	}
	for _, i := range s.Insecure {
		if _, err := netip.ParsePrefix(i); err == nil {
			continue
		}
		if strings.Contains(i, "://") || reference.CheckDomain(i) != nil {
			return fmt.Errorf("insecure registry %s: want host[:port] or a network: %w", shown(i), errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// Hosts implements the interface [Hosts].
func (s Settings) Hosts(domain string) ([]Host, error) {
	hosts, err := s.Dir.find(domain)
	if err != nil || hosts != nil {
		return hosts, err
	}
	if domain == reference.DefaultDomain {
		for _, m := range s.Mirrors {
			h, err := mirror(m)
			if err != nil {
				return nil, err
			}
			hosts = append(hosts, h)
		}
	}
	hosts = append(hosts, Upstream(domain))
	for i := range hosts {
		h := &hosts[i]
		if s.insecure(h.name()) {
			h.Insecure, h.SkipVerify = true, true
			if h.Scheme == "https" && !h.Mirror {
				h.Scheme = ""
			}
		}
		for _, dir := range s.CertDirs {
			if err := h.certificates(filepath.Join(dir, h.name())); err != nil {
				return nil, fmt.Errorf("reading the certificates for registry %s: %w", h.name(), err)
			}
		}
	}
	return hosts, nil
}

// mirror is the host of a mirror's URL.
func mirror(at string) (Host, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Host{}, fmt.Errorf("registry mirror %s: want https://host[:port][/path] or http://…: %w", shown(at), errdefs.ErrInvalidArgument)
	}
	h := Host{Scheme: u.Scheme, Addr: u.Host, Path: strings.TrimSuffix(u.Path, "/") + "/v2", Mirror: true, Pull: true, Resolve: true}
	return h, h.check()
}

// insecure says whether a host is listed. Loopback needs no list: it may speak plain HTTP anyway.
func (s Settings) insecure(host string) bool {
	if slices.Contains(s.Insecure, host) {
		return true
	}
	ip, err := netip.ParseAddr(hostname(host))
	return err == nil && slices.ContainsFunc(s.Insecure, func(i string) bool {
		p, err := netip.ParsePrefix(i)
		return err == nil && p.Contains(ip.Unmap())
	})
}

// certificates adds what a directory of Docker's form holds; one that is not there holds nothing.
func (h *Host) certificates(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		base, isCert := strings.CutSuffix(path, ".cert")
		switch {
		case strings.HasSuffix(path, ".crt"):
			pem, err := readConfig(path)
			if err != nil {
				return err
			}
			h.CA = append(append(h.CA, pem...), '\n')
		case isCert:
			cert, err := readConfig(path)
			if err != nil {
				return err
			}
			key, err := readConfig(base + ".key")
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("missing key %s.key for client certificate %s: %w", filepath.Base(base), e.Name(), errdefs.ErrInvalidArgument)
			}
			if err != nil {
				return err
			}
			h.Client = append(h.Client, Certificate{Cert: cert, Key: key})
		case strings.HasSuffix(path, ".key"):
			if _, err := os.Stat(strings.TrimSuffix(path, ".key") + ".cert"); err != nil {
				return fmt.Errorf("missing client certificate for key %s: %w", e.Name(), errdefs.ErrInvalidArgument)
			}
		}
	}
	return nil
}
