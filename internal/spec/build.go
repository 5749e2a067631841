package spec

import (
	"maps"
	"path"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// InitPath is where the small init is mounted in a container that wants one.
const InitPath = "/sbin/docker-init"

// builder is one Build under way.
type builder struct {
	Input
	profile  profile
	security Security
	spec     *specs.Spec
	warnings []string
}

// Build makes the runtime configuration. The warnings are for who asked for the container.
func Build(in Input) (*specs.Spec, []string, error) {
	b := &builder{Input: in}
	var err error
	if b.security, err = ParseSecurityOpt(in.Host.SecurityOpt); err != nil {
		return nil, nil, err
	}
	name := in.Profile
	if b.security.Profile != "" {
		name = b.security.Profile
	}
	if b.profile, err = profileOf(name); err != nil {
		return nil, nil, err
	}
	b.spec = &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: in.Root, Readonly: in.Host.ReadonlyRootfs || b.profile.readOnly},
		Linux:   &specs.Linux{Resources: &specs.LinuxResources{}},
	}
	for _, step := range []func() error{
		b.process,
		b.namespaces,
		b.mounts,
		b.cgroup,
		b.devices,
		b.sysctls,
		b.seccomp, // needs the capabilities
	} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	b.paths()
	b.annotations()
	return b.spec, b.warnings, nil
}

func (b *builder) warn(text string) { b.warnings = append(b.warnings, text) }

// reservedAnnotation begins the keys that Hull alone sets (SECURITY.md R8).
const reservedAnnotation = "dev.hull."

func (b *builder) annotations() {
	if len(b.Host.Annotations)+len(b.Annotations) == 0 {
		return
	}
	b.spec.Annotations = make(map[string]string)
	for k, v := range b.Host.Annotations {
		if strings.HasPrefix(k, reservedAnnotation) {
			b.warn("The annotation " + k + " is reserved. Annotation discarded.")
			continue
		}
		b.spec.Annotations[k] = v
	}
	maps.Copy(b.spec.Annotations, b.Annotations)
}

// cgroup names the cgroup and sets its limits.
func (b *builder) cgroup() error {
	parent := "/hull"
	if b.SystemdCgroup {
		parent = "system.slice"
	}
	if b.CgroupParent != "" {
		parent = b.CgroupParent
	}
	if b.Host.CgroupParent != "" {
		parent = b.Host.CgroupParent
	}
	if b.SystemdCgroup {
		b.spec.Linux.CgroupsPath = parent + ":hull:" + b.ID
	} else {
		// Joined below the root, so that ".." in a parent leads nowhere else.
		b.spec.Linux.CgroupsPath = path.Join("/", parent, b.ID)
	}
	r, err := Resources(b.Host.Resources, b.Devices.Numbers)
	if err != nil {
		return err
	}
	if b.Host.PidsLimit == nil && b.profile.pids > 0 && b.Facts.Controllers.PidsLimit {
		limit := b.profile.pids
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	b.spec.Linux.Resources = r
	return nil
}

// Args is the command line of a container: entrypoint, then command.
func Args(c *container.Config) []string {
	return append(append([]string(nil), c.Entrypoint...), c.Cmd...)
}

// wantsInit says whether the container gets the small init. One that shares another's process
// numbers has no process number 1 of its own.
func (b *builder) wantsInit() bool {
	if b.Init == "" || !b.Host.PidMode.IsPrivate() || b.Namespaces.PID != "" {
		return false
	}
	if b.Host.Init != nil {
		return *b.Host.Init
	}
	return b.DefaultInit
}
