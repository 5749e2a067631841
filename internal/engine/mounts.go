package engine

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// Mount is something that a container has below its root besides its image.
type Mount struct {
	Type        mount.Type // bind, volume, tmpfs, image
	Name        string     // of a volume
	Source      string     // on the host; of an image: its name
	Destination string     // absolute, clean
	Driver      string     // of a volume
	Mode        string     // as the user wrote it
	ReadOnly    bool
	Propagation mount.Propagation
	Anonymous   bool // a volume that goes with its container
	NoCopy      bool // a new volume does not get what the image has there
	Subpath     string
	Tmpfs       []string // options
	Create      bool     // a bind's source is made when it is not there

	NonRecursive, ReadOnlyNonRecursive, ReadOnlyForceRecursive bool
	DriverOptions, Labels                                      map[string]string // of a volume to be made
}

// Point is how inspect shows a mount.
func (m Mount) Point() container.MountPoint {
	return container.MountPoint{Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Destination, Driver: m.Driver, Mode: m.Mode, RW: !m.ReadOnly, Propagation: m.Propagation}
}

func badMount(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// plan lists a container's mounts, in Docker's order: those of other containers, binds, mounts, the
// image's volumes. A destination that two of the user's name is an error; the image's give way.
func (e *Engine) planMounts(v *View) ([]Mount, error) {
	at := make(map[string]Mount)
	for _, from := range v.Host.VolumesFrom {
		if err := e.volumesFrom(from, at); err != nil {
			return nil, err
		}
	}
	own := make(map[string]bool)
	add := func(m Mount) error {
		if own[m.Destination] {
			return badMount("Duplicate mount point: %s", m.Destination)
		}
		own[m.Destination] = true
		at[m.Destination] = m
		return nil
	}
	for _, b := range v.Host.Binds {
		m, err := ParseBind(b, v.Host.VolumeDriver)
		if err == nil {
			err = add(m)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, x := range v.Host.Mounts {
		m, err := fromMount(x)
		if err == nil {
			err = add(m)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, dest := range slices.Sorted(maps.Keys(v.Host.Tmpfs)) {
		if err := checkDestination(dest); err != nil {
			return nil, err
		}
		d := path.Clean(dest)
		if own[d] {
			return nil, badMount("Duplicate mount point: %s", d)
		}
		own[d] = true
		delete(at, d) // openMounts has it from Host.Tmpfs
	}
	for _, dest := range slices.Sorted(maps.Keys(v.Config.Volumes)) {
		m, err := ParseBind(dest, v.Host.VolumeDriver)
		if err != nil {
			return nil, err
		}
		if _, ok := at[m.Destination]; !ok && !own[m.Destination] {
			at[m.Destination] = m
		}
	}
	out := make([]Mount, 0, len(at))
	for _, dest := range slices.Sorted(maps.Keys(at)) {
		out = append(out, at[dest])
	}
	return out, nil
}

// volumesFrom adds the mounts of another container.
func (e *Engine) volumesFrom(from string, at map[string]Mount) error {
	name, mode, has := strings.Cut(from, ":")
	if name == "" {
		return badMount("invalid volumes-from specification: %s", from)
	}
	if has && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z" {
		return badMount("invalid mode for volumes-from: %s", mode)
	}
	other, err := e.Find(name)
	if err != nil {
		return err
	}
	for _, m := range other.Mounts {
		m.ReadOnly = m.ReadOnly || mode == "ro"
		m.Anonymous = false // it goes with the container that had it first
		m.NoCopy = true
		if has {
			m.Mode = mode
		}
		at[m.Destination] = m
	}
	return nil
}

// ParseBind reads one of HostConfig.Binds: [SOURCE:]DESTINATION[:MODE].
func ParseBind(raw, driver string) (m Mount, err error) {
	if len(raw) > 3*4096 {
		return m, badMount("invalid volume specification: it is %d bytes long", len(raw))
	}
	parts := strings.Split(raw, ":")
	bad := badMount("invalid volume specification: '%s'", raw)
	if len(parts) > 3 || parts[0] == "" {
		return m, bad
	}
	m.Type = mount.TypeVolume
	switch len(parts) {
	case 1:
		m.Destination, m.Anonymous = parts[0], true
	case 2:
		if modeWords(parts[1], nil) == nil {
			return m, bad // a volume without a name has no mode
		}
		m.Source, m.Destination = parts[0], parts[1]
	case 3:
		m.Source, m.Destination, m.Mode = parts[0], parts[1], parts[2]
		if err := modeWords(m.Mode, &m); err != nil {
			return m, err
		}
	}
	if err := checkDestination(m.Destination); err != nil {
		kind := mount.TypeVolume
		if path.IsAbs(m.Source) {
			kind = mount.TypeBind
		}
		return m, badMount("invalid volume specification: '%s': invalid mount config for type %q: %v", raw, kind, err)
	}
	m.Destination = path.Clean(m.Destination)
	if path.IsAbs(m.Source) {
		m.Type, m.Source, m.Create = mount.TypeBind, path.Clean(m.Source), true
		if m.Propagation == "" {
			m.Propagation = mount.PropagationRPrivate
		}
		return m, nil
	}
	m.Driver, m.Name, m.Source = driver, m.Source, ""
	if m.Driver == "" {
		m.Driver = "local"
	}
	if m.Mode == "" && !m.Anonymous {
		m.Mode = "z"
	}
	return m, nil
}

func checkDestination(d string) error {
	switch {
	case !path.IsAbs(d):
		return badMount("invalid mount path: '%s' mount path must be absolute", d)
	case path.Clean(d) == "/":
		return badMount("invalid volume specification: destination can't be '/'")
	case strings.ContainsRune(d, 0):
		return badMount("invalid mount path: it has a NUL byte in it")
	}
	return nil
}

// modeWords reads a mode, "ro,rslave". m may be nil.
func modeWords(mode string, m *Mount) error {
	bad := badMount("invalid mode: %s", mode)
	if m == nil {
		m = new(Mount)
	}
	seen := make(map[string]bool)
	set := func(kind string) bool { was := seen[kind]; seen[kind] = true; return !was }
	for w := range strings.SplitSeq(mode, ",") {
		ok := true
		switch w {
		case "rw":
			ok = set("rw")
		case "ro":
			ok, m.ReadOnly = set("rw"), true
		case "z", "Z":
			ok = set("label")
		case "nocopy":
			ok, m.NoCopy = set("copy"), true
		case "consistent", "cached", "delegated", "default":
			ok = set("consistency")
		case "private", "rprivate", "shared", "rshared", "slave", "rslave":
			ok, m.Propagation = set("propagation"), mount.Propagation(w)
		default:
			ok = false
		}
		if !ok {
			return bad
		}
	}
	return nil
}

// fromMount reads one of HostConfig.Mounts.
func fromMount(x mount.Mount) (m Mount, err error) {
	bad := func(format string, args ...any) error {
		return badMount("invalid mount config for type %q: %s", x.Type, fmt.Sprintf(format, args...))
	}
	if x.Target == "" {
		return m, bad("field Target must not be empty")
	}
	if err := checkDestination(x.Target); err != nil {
		return m, bad("%v", err)
	}
	m = Mount{Type: x.Type, Destination: path.Clean(x.Target), ReadOnly: x.ReadOnly, Mode: ""}
	extra := func(has bool, what string) {
		if has && err == nil {
			err = bad("field %s must not be specified", what)
		}
	}
	extra(x.BindOptions != nil && x.Type != mount.TypeBind, "BindOptions")
	extra(x.VolumeOptions != nil && x.Type != mount.TypeVolume, "VolumeOptions")
	extra(x.TmpfsOptions != nil && x.Type != mount.TypeTmpfs, "TmpfsOptions")
	extra(x.ImageOptions != nil && x.Type != mount.TypeImage, "ImageOptions")
	if err != nil {
		return m, err
	}
	switch x.Type {
	case mount.TypeBind:
		if x.Source == "" {
			return m, bad("field Source must not be empty")
		}
		if !path.IsAbs(x.Source) {
			return m, bad("invalid mount path: '%s' mount path must be absolute", x.Source)
		}
		m.Source, m.Propagation = path.Clean(x.Source), mount.PropagationRPrivate
		if o := x.BindOptions; o != nil {
			if o.Propagation != "" {
				if !slices.Contains(mount.Propagations, o.Propagation) {
					return m, bad("invalid propagation mode: %s", o.Propagation)
				}
				m.Propagation = o.Propagation
			}
			m.NonRecursive, m.Create = o.NonRecursive, o.CreateMountpoint
			m.ReadOnlyNonRecursive, m.ReadOnlyForceRecursive = o.ReadOnlyNonRecursive, o.ReadOnlyForceRecursive
			if m.ReadOnlyForceRecursive && !m.ReadOnly || m.ReadOnlyNonRecursive && !m.ReadOnly {
				return m, bad("mount source must be read-only for recursive read-only options")
			}
		}
	case mount.TypeVolume:
		m.Name, m.Driver, m.Anonymous = x.Source, "local", x.Source == ""
		if path.IsAbs(x.Source) {
			return m, bad("invalid volume name %q: it is a path", x.Source)
		}
		if o := x.VolumeOptions; o != nil {
			m.NoCopy, m.Labels = o.NoCopy, o.Labels
			if o.Subpath != "" {
				if path.IsAbs(o.Subpath) || !localPath(o.Subpath) {
					return m, bad("subpath must be a relative path within the volume")
				}
				m.Subpath = o.Subpath
			}
			if d := o.DriverConfig; d != nil {
				m.DriverOptions = d.Options
				if d.Name != "" {
					m.Driver = d.Name
				}
			}
		}
		if m.Anonymous && m.Subpath != "" {
			return m, bad("must not set Subpath when using anonymous volumes")
		}
		m.Mode = "z"
	case mount.TypeTmpfs:
		if x.Source != "" {
			return m, bad("field Source must not be specified")
		}
		m.Tmpfs = tmpfsOptions(x)
	default:
		return m, badMount("mount type unknown: %q", x.Type)
	}
	return m, nil
}

func localPath(p string) bool {
	c := path.Clean(p)
	return c != ".." && !strings.HasPrefix(c, "../") && !strings.ContainsRune(p, 0)
}

// tmpfsOptions are mount options of a tmpfs, as Docker fills them in.
func tmpfsOptions(x mount.Mount) []string {
	out := []string{"noexec", "nosuid", "nodev"}
	if x.ReadOnly {
		out = append(out, "ro")
	}
	o := x.TmpfsOptions
	if o == nil {
		return out
	}
	if o.Mode != 0 {
		out = append(out, fmt.Sprintf("mode=%o", o.Mode.Perm()|o.Mode&0o7000))
	}
	if o.SizeBytes != 0 {
		out = append(out, fmt.Sprintf("size=%d", o.SizeBytes))
	}
	for _, w := range o.Options {
		switch len(w) {
		case 1:
			out = append(slices.DeleteFunc(out, func(s string) bool { return "no"+w[0] == s }), w[0])
		case 2:
			out = append(out, w[0]+"="+w[1])
		}
	}
	return out
}
