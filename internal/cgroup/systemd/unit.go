package systemd

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Unit names a container's unit.
type Unit struct {
	Name  string // "runc-abc.scope" or "x.slice"
	Slice string // "system.slice"
	ID    string // the container's name, for the description
}

// IsSlice tells whether the unit is a slice, not a scope.
func (u Unit) IsSlice() bool { return strings.HasSuffix(u.Name, ".slice") }

// ParseUnit takes linux.cgroupsPath in the form "slice:prefix:name", or "" for a scope of the
// container's id below system.slice (rootless: user.slice of the user manager).
func ParseUnit(cgroupsPath, id string, rootless bool) (Unit, error) {
	u := Unit{Slice: "system.slice", ID: id}
	if rootless {
		u.Slice = "user.slice"
	}
	prefix, name := "runc", id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return Unit{}, fmt.Errorf("linux.cgroupsPath %q is not of the form slice:prefix:name that systemd cgroups need", cgroupsPath)
		}
		if parts[0] != "" {
			u.Slice = parts[0]
		}
		prefix, name = parts[1], parts[2]
	}
	u.Name = name
	if !strings.HasSuffix(name, ".slice") {
		u.Name = prefix + "-" + name + ".scope"
	}
	if err := checkUnitName(u.Name); err != nil {
		return Unit{}, fmt.Errorf("linux.cgroupsPath %q gives the unit name %q, which %w", cgroupsPath, u.Name, err)
	}
	if _, err := ExpandSlice(u.Slice); err != nil {
		return Unit{}, fmt.Errorf("linux.cgroupsPath %q: %w", cgroupsPath, err)
	}
	return u, nil
}

// checkUnitName holds systemd.unit(5): at most 255 of a few characters. The name also becomes
// one component of a path.
func checkUnitName(s string) error {
	if len(s) > 255 {
		return errors.New("is longer than 255 bytes")
	}
	if s[0] == '.' {
		return errors.New("begins with a dot")
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(`:-_.\@`, c) >= 0:
		default:
			return fmt.Errorf("has the character %q", c)
		}
	}
	return nil
}

// ExpandSlice returns the path of a slice: "a-b.slice" is "/a.slice/a-b.slice", "-.slice" "/".
func ExpandSlice(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || checkUnitName(slice) != nil {
		return "", fmt.Errorf("%q is not the name of a slice", slice)
	}
	if name == "-" {
		return "/", nil
	}
	var path, prefix string
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fmt.Errorf("%q is not the name of a slice: it has an empty part", slice)
		}
		path += "/" + prefix + part + ".slice"
		prefix += part + "-"
	}
	return path, nil
}

// Running tells whether systemd is this host's init (sd_booted(3)).
func Running() bool {
	fi, err := os.Lstat("/run/systemd/system")
	return err == nil && fi.IsDir()
}
