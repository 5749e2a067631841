package systemd

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

const annotationPrefix = "org.systemd.property."

// Annotations returns the properties that annotations of config.json ask for:
//
//	org.systemd.property.TimeoutStopUSec: uint64 123456789
//	org.systemd.property.CollectMode:     'inactive-or-failed'
//
// The value is GVariant text (docs.gtk.org/glib/gvariant-text-format.html): numbers, strings,
// booleans, byte strings, arrays, tuples and variants. A name in …Sec gets the …USec that the
// bus wants, as in runc.
func Annotations(m map[string]string) ([]Property, error) {
	var list []Property
	for _, key := range slices.Sorted(maps.Keys(m)) {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		if err := checkPropertyName(name); err != nil {
			return nil, fmt.Errorf("annotation %q: the property name %w", key, err)
		}
		v, err := parseVariant(m[key])
		if err != nil {
			return nil, fmt.Errorf("annotation %q: value %.100q: %w", key, m[key], err)
		}
		if base, ok := strings.CutSuffix(name, "Sec"); ok && base[len(base)-1] >= 'a' && base[len(base)-1] <= 'z' {
			if v, err = toMicroseconds(v); err != nil {
				return nil, fmt.Errorf("annotation %q: value %.100q: %w", key, m[key], err)
			}
			name = base + "USec"
		}
		list = append(list, Property{name, v})
	}
	return list, nil
}

func checkPropertyName(s string) error {
	if len(s) < 3 || len(s) > 64 {
		return errors.New("is not of 3 to 64 letters")
	}
	if s == "Sec" {
		return errors.New("is incomplete")
	}
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("has the character %q, which is not a letter", c)
		}
	}
	return nil
}

func toMicroseconds(v dbus.Value) (dbus.Value, error) {
	const million = 1000000
	switch v.Signature() {
	case "y", "q", "u", "t":
		if v.Uint() <= math.MaxUint64/million {
			return dbus.Uint64(v.Uint() * million), nil
		}
	case "n", "i", "x":
		if n := int64(v.Uint()); n >= 0 && n <= math.MaxInt64/million {
			return dbus.Uint64(uint64(n) * million), nil
		}
	case "d":
		if f := v.Float() * million; f >= 0 && f < 1<<63 {
			return dbus.Uint64(uint64(f)), nil
		}
	default:
		return v, errors.New("it is not a number")
	}
	return v, errors.New("it is not a number of seconds")
}
