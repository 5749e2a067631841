package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// parseDevices reads --device values: HOST[:CONTAINER][:PERMISSIONS], or the name of a CDI
// device, VENDOR/CLASS=NAME.
func parseDevices(values []string) (mappings []deviceMapping, cdi []string, err error) {
	mappings = []deviceMapping{}
	for _, v := range values {
		if isCDI(v) {
			cdi = append(cdi, v)
			continue
		}
		d, err := parseDevice(v)
		if err != nil {
			return nil, nil, err
		}
		mappings = append(mappings, d)
	}
	return mappings, cdi, nil
}

func parseDevice(value string) (deviceMapping, error) {
	parts := strings.Split(value, ":")
	if len(parts) > 3 || parts[0] == "" {
		return deviceMapping{}, fmt.Errorf("bad format for path: %s", value)
	}
	d := deviceMapping{PathOnHost: parts[0], CgroupPermissions: "rwm"}
	inside := parts[0]
	switch {
	case len(parts) == 2 && validDeviceMode(parts[1]):
		d.CgroupPermissions = parts[1]
		fallthrough
	case len(parts) == 1:
		d.PathOnHost = path.Clean(inside)
		d.PathInContainer = d.PathOnHost
	case len(parts) == 2:
		inside = parts[1]
		d.PathInContainer = path.Clean(inside)
	case !validDeviceMode(parts[2]):
		return d, fmt.Errorf("bad mode specified: %s", parts[2])
	default:
		inside = parts[1]
		d.PathInContainer, d.CgroupPermissions = inside, parts[2]
	}
	if !path.IsAbs(inside) {
		return d, fmt.Errorf("%s is not an absolute path", inside)
	}
	return d, nil
}

// validDeviceMode takes r, w and m, each at most once.
func validDeviceMode(mode string) bool {
	for i := range len(mode) {
		if !strings.Contains("rwm", mode[i:i+1]) || strings.Contains(mode[:i], mode[i:i+1]) {
			return false
		}
	}
	return mode != ""
}

// isCDI says whether a value is a CDI device's full name.
func isCDI(s string) bool {
	kind, name, ok := strings.Cut(s, "=")
	vendor, class, ok2 := strings.Cut(kind, "/")
	word := func(s, inner string) bool {
		for i := range len(s) {
			c := s[i]
			letter := c|0x20 >= 'a' && c|0x20 <= 'z'
			digit := c >= '0' && c <= '9'
			edge := i == 0 || i == len(s)-1
			if !letter && !digit && (edge || !strings.Contains(inner, s[i:i+1])) {
				return false
			}
		}
		return s != ""
	}
	start := func(s string) bool { return s != "" && s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z' }
	return ok && ok2 && start(vendor) && start(class) && word(vendor, "_-.") && word(class, "_-.") && word(name, "_-.:")
}

// checkDeviceRule takes "TYPE MAJOR:MINOR MODE".
func checkDeviceRule(s string) (string, error) {
	number := func(s string) bool { return s == "*" || s != "" && strings.Trim(s, "0123456789") == "" }
	kind, rest, ok := strings.Cut(s, " ")
	numbers, mode, ok2 := strings.Cut(rest, " ")
	major, minor, ok3 := strings.Cut(numbers, ":")
	if ok && ok2 && ok3 && len(kind) == 1 && strings.Contains("acb", kind) && number(major) && number(minor) &&
		len(mode) >= 1 && len(mode) <= 3 && strings.Trim(mode, "rwm") == "" {
		return s, nil
	}
	return "", fmt.Errorf("invalid device cgroup format '%s'", s)
}

// deviceValue cuts PATH:VALUE of the block device options.
func deviceValue(s string) (device, value string, err error) {
	device, value, ok := strings.Cut(s, ":")
	if !ok || device == "" {
		return "", "", fmt.Errorf("bad format: %s", s)
	}
	if !strings.HasPrefix(device, "/dev/") {
		return "", "", fmt.Errorf("bad format for device path: %s", s)
	}
	return device, value, nil
}

func parseWeightDevice(s string) (weightDevice, error) {
	device, value, err := deviceValue(s)
	if err != nil {
		return weightDevice{}, err
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n > 0 && n < 10 || n > 1000 {
		return weightDevice{}, fmt.Errorf("invalid weight for device: %s", s)
	}
	return weightDevice{device, int64(n)}, nil
}

// parseThrottle reads a rate in bytes (with a unit) or in operations per second.
func parseThrottle(s string, inBytes bool) (throttleDevice, error) {
	device, value, err := deviceValue(s)
	if err != nil {
		return throttleDevice{}, err
	}
	if !inBytes {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return throttleDevice{}, fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>. Number must be a positive integer", s)
		}
		return throttleDevice{device, n}, nil
	}
	n, err := units.RAMInBytes(value)
	if err != nil || n < 0 {
		return throttleDevice{}, fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb", s)
	}
	return throttleDevice{device, uint64(n)}, nil
}

// parseGPUs reads a --gpus value: "all", a number, or KEY=VALUE fields of CSV.
func parseGPUs(value string) (deviceRequest, error) {
	req := deviceRequest{Options: make(map[string]string), Capabilities: [][]string{{"gpu"}}}
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return req, err
	}
	seen := make(map[string]bool)
	for _, field := range fields {
		key, val, has := strings.Cut(field, "=")
		if seen[key] {
			return req, fmt.Errorf("gpu request key '%s' can be specified only once", key)
		}
		seen[key] = true
		if !has {
			key, val = "count", key
			seen["count"] = true
		}
		switch key {
		case "driver":
			req.Driver = val
		case "count":
			if req.Count, err = gpuCount(val); err != nil {
				return req, err
			}
		case "device":
			req.DeviceIDs = strings.Split(val, ",")
		case "capabilities":
			req.Capabilities = [][]string{append(strings.Split(val, ","), "gpu")}
		case "options":
			pairs, err := csv.NewReader(strings.NewReader(val)).Read()
			if err != nil {
				return req, fmt.Errorf("failed to read gpu options: %w", err)
			}
			req.Options = pairMap(pairs)
		default:
			return req, fmt.Errorf("unexpected key '%s' in '%s'", key, field)
		}
	}
	if !seen["count"] && req.DeviceIDs == nil {
		req.Count = 1
	}
	return req, nil
}

func gpuCount(s string) (int, error) {
	if s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	var number *strconv.NumError
	if errors.As(err, &number) {
		return 0, fmt.Errorf(`invalid count (%s): value must be either "all" or an integer: %w`, s, number.Err)
	}
	return n, err
}
