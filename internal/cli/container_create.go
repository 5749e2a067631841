package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/hull-dev/hull/internal/reference"
)

func (a *App) containerCreate(ctx context.Context, args []string) error {
	o := newOptions()
	r := newRunOptions(a, o)
	args, err := o.parse(args, true)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	body, err := a.createBody(ctx, r, args)
	if err != nil {
		return err
	}
	id, err := a.create(ctx, r, body)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Out, id)
	return nil
}

// runError is an error of run or create, before a container runs.
func (a *App) runError(status int, err error) error {
	name := a.verb.name
	return statusError{status, fmt.Sprintf("hull: %v\n\nRun 'hull %s --help' for more information", err, name)}
}

// createBody makes the request of run and create.
func (a *App) createBody(ctx context.Context, r *runOptions, args []string) (*createBody, error) {
	switch *r.pull {
	case "always", "missing", "never", "":
	default:
		return nil, a.runError(125, fmt.Errorf("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", *r.pull))
	}
	if err := a.client.agree(ctx); err != nil {
		return nil, a.runError(125, err)
	}
	if err := a.supported(r.o); err != nil {
		return nil, err
	}
	body, err := r.body(a, args[0], args[1:])
	if err != nil {
		return nil, a.runError(125, err)
	}
	return body, nil
}

// since is the version of the API that an option needs, or "windows" for what a daemon on Linux
// refuses.
var since = map[string]string{
	"annotation": "1.43", "cgroupns": "1.41", "gpus": "1.40", "health-start-interval": "1.44",
	"cpu-count": "windows", "cpu-percent": "windows", "io-maxbandwidth": "windows", "io-maxiops": "windows",
	"health-start-period": "1.29", "platform": "1.32", "stop-timeout": "1.25", "init": "1.25", "cpus": "1.25", "cpu-rt-period": "1.25", "cpu-rt-runtime": "1.25",
}

// supported refuses options that the daemon does not know.
func (a *App) supported(o *options) error {
	var all []string
	for _, opt := range o.all {
		need, ok := since[opt.name]
		switch {
		case !ok || !opt.changed:
		case need == "windows":
			all = append(all, fmt.Sprintf("%q is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux", "--"+opt.name))
		case !a.client.has(need):
			all = append(all, fmt.Sprintf("%q requires API version %s, but the Docker daemon API version is %s", "--"+opt.name, need, a.client.version))
		}
	}
	if len(all) > 0 {
		slices.Sort(all)
		return errors.New(strings.Join(all, "\n"))
	}
	return nil
}

// forVersion makes a request what the daemon's version of the API takes.
func (b *createBody) forVersion(c *client, platform string) error {
	lacks := func(v, what string) error {
		return fmt.Errorf("%q requires API version %s, but the Docker daemon API version is %s", what, v, c.version)
	}
	h := &b.HostConfig
	if platform != "" && !c.has("1.41") {
		return lacks("1.41", "specify container image platform")
	}
	if !c.has("1.44") {
		if b.Healthcheck != nil && b.Healthcheck.StartInterval != 0 {
			return lacks("1.44", "specify health-check start interval")
		}
		for _, e := range b.NetworkingConfig.EndpointsConfig {
			if e.MacAddress != "" {
				return lacks("1.44", "specify mac-address per network")
			}
		}
		for _, m := range h.Mounts {
			if o := m.BindOptions; o != nil && o.ReadOnlyForceRecursive {
				return errors.New("bind-recursive=readonly requires API v1.44 or later")
			} else if o != nil && o.NonRecursive && !c.has("1.40") {
				return errors.New("bind-recursive=disabled requires API v1.40 or later")
			}
		}
	} else {
		b.MacAddress = "" // the endpoint has it
	}
	if c.has("1.42") || !c.has("1.40") {
		h.KernelMemory = 0
	}
	if !c.has("1.25") {
		h.AutoRemove = false // hull does it (watchExit)
	}
	if platform != "" && !c.has("1.42") {
		h.ConsoleSize = [2]uint{}
	}
	return nil
}

// create creates a container, after it pulled the image if that is wanted, and returns its ID.
func (a *App) create(ctx context.Context, r *runOptions, b *createBody) (id string, err error) {
	cid, err := openCIDFile(*r.cidfile)
	if err != nil {
		return "", err
	}
	defer cid.close()
	ref, refErr := reference.Parse(b.Image)
	if refErr != nil && !imageID(b.Image) {
		return "", refErr
	}
	var login *loginFile
	if *r.apiSocket {
		if login, err = a.shareSocket(ctx, b); err != nil {
			return "", err
		}
	}
	pull := func() error {
		return a.pullImage(ctx, b.Image, *r.platform, *r.quiet)
	}
	if *r.pull == "always" {
		if err := pull(); err != nil {
			return "", err
		}
	}
	if *r.kernelMemory != 0 && (a.client.has("1.42") || !a.client.has("1.40")) {
		fmt.Fprintln(a.Err, "WARNING: --kernel-memory is not sent: the kernel has no such limit any more")
	}
	b.HostConfig.ConsoleSize[0], b.HostConfig.ConsoleSize[1] = a.windowSize()
	if err := b.forVersion(a.client, *r.platform); err != nil {
		return "", err
	}
	q := url.Values{}
	if *r.name != "" {
		q.Set("name", *r.name)
	}
	if *r.platform != "" {
		q.Set("platform", *r.platform)
	}
	var answer struct {
		ID       string `json:"Id"`
		Warnings []string
	}
	err = a.client.post(ctx, "/containers/create", q, b, &answer)
	if missing(err) && refErr == nil && (*r.pull == "missing" || *r.pull == "") {
		if !*r.quiet {
			fmt.Fprintf(a.Err, "Unable to find image '%s' locally\n", ref.WithDefaultTag().Familiar())
		}
		if err := pull(); err != nil {
			return "", err
		}
		err = a.client.post(ctx, "/containers/create", q, b, &answer)
	}
	if err != nil {
		return "", err
	}
	for _, s := range b.HostConfig.DNS {
		if ip, err := netip.ParseAddr(s); err == nil && ip.IsLoopback() {
			answer.Warnings = append(answer.Warnings, fmt.Sprintf("Localhost DNS (%s) may fail in containers.", ip))
			break
		}
	}
	for _, w := range answer.Warnings {
		fmt.Fprintln(a.Err, "WARNING:", w)
	}
	if err := cid.write(answer.ID); err != nil {
		return answer.ID, err
	}
	return answer.ID, a.putLogin(ctx, answer.ID, login)
}

// imageID says whether a name is an image's ID, or may begin one.
func imageID(s string) bool {
	s = strings.TrimPrefix(s, "sha256:")
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// cidFile is where --cidfile writes; a container that was not created leaves none.
type cidFile struct {
	name    string
	f       *os.File
	written bool
}

func openCIDFile(name string) (*cidFile, error) {
	if name == "" {
		return &cidFile{}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", name)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to create the container ID file: %w", err)
	}
	return &cidFile{name: name, f: f}, nil
}

func (c *cidFile) write(id string) error {
	if c.f == nil {
		return nil
	}
	if _, err := c.f.WriteString(id); err != nil {
		return fmt.Errorf("failed to write the container ID to the file: %w", err)
	}
	c.written = true
	return nil
}

func (c *cidFile) close() {
	if c.f == nil {
		return
	}
	c.f.Close()
	if !c.written {
		_ = os.Remove(c.name)
	}
}
