package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parsePorts reads -p specs, [IP:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL] or
// target=…,published=…,protocol=…, into exposed ports and bindings by "80/tcp".
func parsePorts(specs []string) (exposed map[string]struct{}, bindings map[string][]portBinding, err error) {
	exposed, bindings = make(map[string]struct{}), make(map[string][]portBinding)
	for _, spec := range specs {
		if strings.Contains(spec, "=") {
			if spec, err = plainPort(spec); err != nil {
				return nil, nil, err
			}
		}
		if err := bindPorts(spec, exposed, bindings); err != nil {
			return nil, nil, err
		}
	}
	return exposed, bindings, nil
}

// plainPort turns the long form of a spec into the short one.
func plainPort(spec string) (string, error) {
	fields := map[string]string{"protocol": "tcp"}
	for field := range strings.SplitSeq(spec, ",") {
		k, v, ok := strings.Cut(field, "=")
		if !ok || k == "" {
			return "", fmt.Errorf("invalid publish opts format (should be name=value but got '%s')", field)
		}
		fields[k] = v
	}
	return fields["published"] + ":" + fields["target"] + "/" + fields["protocol"], nil
}

func bindPorts(spec string, exposed map[string]struct{}, bindings map[string][]portBinding) error {
	parts := strings.Split(spec, ":")
	n := len(parts)
	protocol, container := splitProtocol(parts[n-1])
	ip, host := "", ""
	if n >= 2 {
		host = parts[n-2]
	}
	if n >= 3 {
		ip = strings.Join(parts[:n-2], ":")
	}
	if strings.HasPrefix(ip, "[") {
		inner, ok := strings.CutSuffix(ip[1:], "]")
		if !ok {
			return fmt.Errorf("invalid IP address %s: missing ']' in address", ip)
		}
		ip = inner
	}
	if ip != "" {
		if _, err := netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("invalid IP address: %s", ip)
		}
	}
	if container == "" {
		return fmt.Errorf("no port specified: %s<empty>", spec)
	}
	first, last, err := portRange(container)
	if err != nil {
		return fmt.Errorf("invalid containerPort: %s", container)
	}
	hostFirst, hostLast := 0, 0
	if host != "" {
		if hostFirst, hostLast, err = portRange(host); err != nil {
			return fmt.Errorf("invalid hostPort: %s", host)
		}
		// One port of the container may take any of a range of the host.
		if last-first != hostLast-hostFirst && last != first {
			return fmt.Errorf("invalid ranges specified for container and host Ports: %s and %s", container, host)
		}
	}
	switch strings.ToLower(protocol) {
	case "tcp", "udp", "sctp":
	default:
		return fmt.Errorf("invalid proto: %s", protocol)
	}
	for i := 0; i <= last-first; i++ {
		b := portBinding{HostIP: ip}
		if host != "" {
			b.HostPort = strconv.Itoa(hostFirst + i)
			if first == last && hostFirst != hostLast {
				b.HostPort = fmt.Sprintf("%d-%d", hostFirst, hostLast)
			}
		}
		port := strconv.Itoa(first+i) + "/" + strings.ToLower(protocol)
		exposed[port] = struct{}{}
		bindings[port] = append(bindings[port], b)
	}
	return nil
}

// splitProtocol cuts "80/udp"; the protocol is tcp unless it is said.
func splitProtocol(s string) (protocol, port string) {
	port, protocol, _ = strings.Cut(s, "/")
	protocol, _, _ = strings.Cut(protocol, "/")
	if port == "" {
		return "", ""
	}
	if protocol == "" {
		protocol = "tcp"
	}
	return protocol, port
}

// portRange reads "80" or "80-90".
func portRange(s string) (first, last int, err error) {
	if s == "" {
		return 0, 0, errors.New("empty string specified for ports")
	}
	a, b, isRange := strings.Cut(s, "-")
	b, _, _ = strings.Cut(b, "-")
	x, err := strconv.ParseUint(a, 10, 16)
	if err != nil || !isRange {
		return int(x), int(x), err
	}
	y, err := strconv.ParseUint(b, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if y < x {
		return 0, 0, fmt.Errorf("invalid range specified for port: %s", s)
	}
	return int(x), int(y), nil
}

// exposePorts adds --expose specs, PORT[-PORT][/PROTOCOL], to the exposed ports.
func exposePorts(specs []string, exposed map[string]struct{}) error {
	for _, spec := range specs {
		if strings.Contains(spec, ":") {
			return fmt.Errorf("invalid port format for --expose: %s", spec)
		}
		protocol, port := splitProtocol(spec)
		first, last, err := portRange(port)
		if err != nil {
			return fmt.Errorf("invalid range format for --expose: %s, error: %w", spec, err)
		}
		for ; first <= last; first++ {
			exposed[strconv.Itoa(first)+"/"+protocol] = struct{}{}
		}
	}
	return nil
}
