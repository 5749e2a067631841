package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// attachment is a --network value.
type attachment struct {
	target         string
	aliases, links []string
	ip, ip6, mac   string
	linkLocal      []string
	driverOpts     map[string]string
	priority       int
}

// parseNetwork reads a network's name, or KEY=VALUE fields of CSV.
func parseNetwork(value string) (attachment, error) {
	var n attachment
	if !hasPair(value) {
		n.target = value
		return n, nil
	}
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return n, err
	}
	for _, field := range fields {
		key, val, ok := strings.Cut(strings.ToLower(field), "=")
		if !ok || key == "" {
			return n, fmt.Errorf("invalid field %s", field)
		}
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		switch key {
		case "name":
			n.target = val
		case "alias":
			n.aliases = append(n.aliases, val)
		case "ip":
			n.ip = val
		case "ip6":
			n.ip6 = val
		case "mac-address":
			n.mac = val
		case "link-local-ip":
			n.linkLocal = append(n.linkLocal, val)
		case "driver-opt":
			k, v, ok := strings.Cut(val, "=")
			if !ok || k == "" {
				return n, errors.New("invalid key value pair format in driver options")
			}
			if n.driverOpts == nil {
				n.driverOpts = make(map[string]string)
			}
			n.driverOpts[strings.TrimSpace(k)] = strings.TrimSpace(v)
		case "gw-priority":
			if n.priority, err = strconv.Atoi(val); err != nil {
				var number *strconv.NumError
				if errors.As(err, &number) {
					err = number.Err
				}
				return n, fmt.Errorf("invalid gw-priority (%s): %w", val, err)
			}
		default:
			return n, errors.New("invalid field key " + key)
		}
	}
	if n.target == "" {
		return n, errors.New("network name/id is not specified")
	}
	return n, nil
}

// hasPair says whether a value is of the long form: somewhere a "=" between letters or digits.
func hasPair(s string) bool {
	word := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
	}
	for i := 1; i+1 < len(s); i++ {
		if s[i] == '=' && word(s[i-1]) && word(s[i+1]) {
			return true
		}
	}
	return false
}

// userNetwork says whether a network mode names a network that a user made.
func userNetwork(mode string) bool {
	switch mode {
	case "default", "bridge", "host", "none":
		return false
	}
	return !strings.HasPrefix(mode, "container:")
}

// endpoints makes the networks' part of a container from --network and the options for the first
// network.
func (r *runOptions) endpoints() (map[string]*endpointSettings, error) {
	all := make(map[string]*endpointSettings)
	networks := r.networks
	if len(networks) == 0 {
		n := attachment{target: "default"}
		if err := r.applyTo(&n); err != nil {
			return nil, err
		}
		e, err := n.settings()
		all["default"] = e
		return all, err
	}
	own, given := false, false
	for i, n := range networks {
		if userNetwork(n.target) {
			own = true
		} else {
			given = true
		}
		if i == 0 {
			if err := r.applyTo(&n); err != nil {
				return nil, err
			}
		}
		e, err := n.settings()
		if err != nil {
			return nil, err
		}
		if _, ok := all[n.target]; ok {
			return nil, fmt.Errorf("network %q is specified multiple times", n.target)
		}
		if len(networks) == 1 && e.empty() {
			continue // NetworkMode says it all
		}
		all[n.target] = e
	}
	if own && given {
		return nil, errors.New("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
	}
	return all, nil
}

// applyTo adds the options that are for the first network.
func (r *runOptions) applyTo(n *attachment) error {
	conflict := func(option, what string) error {
		return fmt.Errorf("conflicting options: cannot specify both --%s and per-network %s", option, what)
	}
	switch {
	case len(n.aliases) > 0 && len(*r.aliases) > 0:
		return conflict("network-alias", "alias")
	case len(n.links) > 0 && len(*r.links) > 0:
		return conflict("link", "links")
	case n.ip != "" && *r.ip != "":
		return conflict("ip", "IPv4 address")
	case n.ip6 != "" && *r.ip6 != "":
		return conflict("ip6", "IPv6 address")
	case n.mac != "" && *r.mac != "":
		return conflict("mac-address", "MAC address")
	case len(n.linkLocal) > 0 && len(*r.linkLocal) > 0:
		return conflict("link-local-ip", "link-local IP addresses")
	}
	if len(*r.aliases) > 0 {
		n.aliases = *r.aliases
	}
	if userNetwork(n.target) && len(*r.links) > 0 {
		n.links = *r.links // of the default bridge they are the host's part
	}
	if len(*r.linkLocal) > 0 {
		n.linkLocal = *r.linkLocal
	}
	for _, v := range []struct{ option, to *string }{{r.ip, &n.ip}, {r.ip6, &n.ip6}, {r.mac, &n.mac}} {
		if *v.option != "" {
			*v.to = *v.option
		}
	}
	return nil
}

// settings are what the API takes.
func (n *attachment) settings() (*endpointSettings, error) {
	switch {
	case strings.TrimSpace(n.target) == "":
		return nil, errors.New("no name set for network")
	case !userNetwork(n.target) && len(n.aliases) > 0:
		return nil, errors.New("network-scoped aliases are only supported for user-defined networks")
	case !userNetwork(n.target) && len(n.links) > 0:
		return nil, errors.New("links are only supported for user-defined networks")
	}
	e := &endpointSettings{Aliases: n.aliases, DriverOpts: n.driverOpts, Links: n.links, GwPriority: n.priority}
	if n.ip != "" || n.ip6 != "" || len(n.linkLocal) > 0 {
		e.IPAMConfig = &endpointIPAM{n.ip, n.ip6, n.linkLocal}
	}
	if n.mac != "" {
		if err := checkMAC(n.mac); err != nil {
			return nil, err
		}
		e.MacAddress = n.mac
	}
	return e, nil
}

func (e *endpointSettings) empty() bool {
	return e.IPAMConfig == nil && e.Links == nil && e.Aliases == nil && e.MacAddress == "" && e.DriverOpts == nil && e.GwPriority == 0
}

func checkMAC(s string) error {
	if _, err := net.ParseMAC(strings.TrimSpace(s)); err != nil {
		return fmt.Errorf("%s is not a valid mac address", s)
	}
	return nil
}

// checkIP takes an IP address and returns its normal form.
func checkIP(s string) (string, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" {
		return "", fmt.Errorf("IP address is not correctly formatted: %s", s)
	}
	return a.Unmap().String(), nil
}

// checkHost takes HOST:IP or HOST=IP, IP perhaps in brackets or "host-gateway".
func checkHost(s string) (string, error) {
	name, ip, ok := strings.Cut(s, "=")
	if !ok {
		name, ip, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" || strings.Contains(name, ":") {
		return "", fmt.Errorf("bad format for add-host: %q", s)
	}
	if ip != "host-gateway" {
		if len(ip) > 2 && ip[0] == '[' && ip[len(ip)-1] == ']' {
			ip = ip[1 : len(ip)-1]
		}
		if _, err := checkIP(ip); err != nil {
			return "", fmt.Errorf("invalid IP address in add-host: %q", ip)
		}
	}
	return name + ":" + ip, nil
}

// checkLink takes CONTAINER[:ALIAS].
func checkLink(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("empty string specified for links")
	case strings.Count(s, ":") > 1:
		return "", errors.New("bad format for links: " + s)
	}
	return s, nil
}

// checkSearch takes a domain, or "." for none.
func checkSearch(s string) (string, error) {
	s = strings.Trim(s, " ")
	if s == "." {
		return s, nil
	}
	domain := strings.TrimSuffix(strings.TrimRight(s, " \t\n\f\r"), ".")
	letter := false
	for label := range strings.SplitSeq(domain, ".") {
		for i := range len(label) {
			c := label[i]
			isLetter := c|0x20 >= 'a' && c|0x20 <= 'z'
			letter = letter || isLetter
			if !isLetter && (c < '0' || c > '9') && (c != '-' || i == 0 || i == len(label)-1) {
				return "", fmt.Errorf("%s is not a valid domain", s)
			}
		}
		if label == "" {
			return "", fmt.Errorf("%s is not a valid domain", s)
		}
	}
	if !letter || len(domain) >= 255 {
		return "", fmt.Errorf("%s is not a valid domain", s)
	}
	return domain, nil
}
