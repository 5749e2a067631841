package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// parseMount reads a --mount value: KEY=VALUE fields of CSV.
func parseMount(value string) (mount, error) {
	m := mount{Type: "volume"}
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return m, err
	}
	for _, field := range fields {
		key, val, has := strings.Cut(field, "=")
		key = strings.ToLower(key)
		if !has {
			switch key {
			case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src":
				val = "true"
			default:
				return m, fmt.Errorf("invalid field '%s' must be a key=value pair", field)
			}
		}
		if err := m.set(key, val, field); err != nil {
			return m, err
		}
	}
	return m, m.check()
}

func (m *mount) set(key, val, field string) error {
	yes := func(v *bool) error {
		b, err := strconv.ParseBool(val)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, val)
		}
		*v = b
		return nil
	}
	switch key {
	case "type":
		m.Type = strings.ToLower(val)
		return nil
	case "source", "src":
		m.Source = val
		if strings.HasPrefix(val, ".") {
			if abs, err := filepath.Abs(val); err == nil {
				m.Source = abs
			}
		}
		return nil
	case "target", "dst", "destination":
		m.Target = val
		return nil
	case "readonly", "ro":
		return yes(&m.ReadOnly)
	case "consistency":
		m.Consistency = strings.ToLower(val)
		return nil
	case "image-subpath":
		if m.ImageOptions == nil {
			m.ImageOptions = &imageOptions{}
		}
		m.ImageOptions.Subpath = val
		return nil
	}
	switch family, _, _ := strings.Cut(key, "-"); family {
	case "bind":
		return m.setBind(key, val, field, yes)
	case "volume":
		return m.setVolume(key, val, field, yes)
	case "tmpfs":
		return m.setTmpfs(key, val, field)
	}
	return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
}

func (m *mount) setBind(key, val, field string, yes func(*bool) error) error {
	o := m.BindOptions
	if o == nil {
		o = &bindOptions{}
	}
	switch key {
	case "bind-propagation":
		o.Propagation = strings.ToLower(val)
	case "bind-nonrecursive":
		if err := yes(&o.NonRecursive); err != nil {
			return err
		}
	case "bind-create-src":
		if err := yes(&o.CreateMountpoint); err != nil {
			return err
		}
	case "bind-recursive":
		switch val {
		case "enabled":
			return nil // the default: options stay as they are
		case "disabled":
			o.NonRecursive = true
		case "writable":
			o.ReadOnlyNonRecursive = true
		case "readonly":
			o.ReadOnlyForceRecursive = true
		default:
			return fmt.Errorf(`invalid value for %s: %s (must be "enabled", "disabled", "writable", or "readonly")`, key, val)
		}
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	m.BindOptions = o
	return nil
}

func (m *mount) setVolume(key, val, field string, yes func(*bool) error) error {
	o := m.VolumeOptions
	if o == nil {
		o = &volumeOptions{Labels: make(map[string]string), DriverConfig: &volumeDriver{}}
	}
	k, v, _ := strings.Cut(val, "=")
	switch key {
	case "volume-subpath":
		o.Subpath = val
	case "volume-nocopy":
		if err := yes(&o.NoCopy); err != nil {
			return err
		}
	case "volume-label":
		if k != "" {
			o.Labels[k] = v
		}
	case "volume-driver":
		o.DriverConfig.Name = val
	case "volume-opt":
		if o.DriverConfig.Options == nil {
			o.DriverConfig.Options = make(map[string]string)
		}
		if k != "" {
			o.DriverConfig.Options[k] = v
		}
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	m.VolumeOptions = o
	return nil
}

func (m *mount) setTmpfs(key, val, field string) error {
	o := m.TmpfsOptions
	if o == nil {
		o = &tmpfsOptions{}
	}
	switch key {
	case "tmpfs-size":
		n, err := units.RAMInBytes(val)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, val)
		}
		o.SizeBytes = n
	case "tmpfs-mode":
		n, err := strconv.ParseUint(val, 8, 32)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, val)
		}
		o.Mode = uint32(n)
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	m.TmpfsOptions = o
	return nil
}

// check refuses what does not go together.
func (m *mount) check() error {
	switch {
	case m.Type == "":
		return errors.New("type is required")
	case m.Target == "":
		return errors.New("target is required")
	case m.VolumeOptions != nil && m.Type != "volume":
		return fmt.Errorf("cannot mix 'volume-*' options with mount type '%s'", m.Type)
	case m.ImageOptions != nil && m.Type != "image":
		return fmt.Errorf("cannot mix 'image-*' options with mount type '%s'", m.Type)
	case m.BindOptions != nil && m.Type != "bind":
		return fmt.Errorf("cannot mix 'bind-*' options with mount type '%s'", m.Type)
	case m.TmpfsOptions != nil && m.Type != "tmpfs":
		return fmt.Errorf("cannot mix 'tmpfs-*' options with mount type '%s'", m.Type)
	}
	o := m.BindOptions
	switch {
	case o == nil:
	case o.ReadOnlyNonRecursive && !m.ReadOnly:
		return errors.New("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
	case o.ReadOnlyForceRecursive && !m.ReadOnly:
		return errors.New("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
	case o.ReadOnlyForceRecursive && o.Propagation != "rprivate":
		return errors.New("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
	}
	return nil
}
