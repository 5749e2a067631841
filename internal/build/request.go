package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/moby/api/types/container"
	registrytypes "github.com/moby/moby/api/types/registry"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Request is a build that came by POST /build.
type Request struct {
	Dockerfile, Target, Remote string
	Tags                       []string
	Args                       map[string]*string
	Labels                     map[string]string
	CacheFrom                  []string
	NoCache, Pull              bool
	Network                    string
	ExtraHosts                 []string
	ShmSize                    int64
	Ulimits                    []*container.Ulimit
	Platform                   string
	CgroupParent               string
	Outputs                    []Output
	Session                    string // of a BuildKit client; "": there is none
	ID                         string // by which it can be cancelled
	Auth                       map[string]registrytypes.AuthConfig
	Body                       io.Reader // the context, a tar archive or a Dockerfile; nil: there is none
}

// Output is one of the results that are asked for.
type Output struct {
	Type  string
	Attrs map[string]string
}

// uploads is the prefix of the id of a request that only brings the context for another one.
const uploads = "upload-request"

// Build runs a build. trace gets what happens, in BuildKit's form, by one goroutine at a time.
// id is the image's; "" when something else was asked for.
func (b *Builder) Build(ctx context.Context, r *Request, trace func(*controlapi.StatusResponse) error) (id string, err error) {
	o, err := b.get()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.ID != "" {
		key, isUpload := strings.CutPrefix(r.ID, uploads+":")
		j := b.jobs.join(key)
		defer b.jobs.leave(key)
		if isUpload {
			return "", j.upload(ctx, r.Body)
		}
		j.onCancel(cancel)
		if r.Remote == uploads {
			if r.Body, err = j.wait(ctx); err != nil {
				return "", err
			}
			defer j.finish()
			r.Remote = ""
		}
	}
	req, err := r.solve()
	if err != nil {
		return "", err
	}
	if r.Remote == "" {
		url, done := o.worker.bodies.add(r.Body)
		defer done()
		req.FrontendAttrs["context"] = url
	}
	g, ctx := errgroup.WithContext(ctx)
	if req.Session == "" {
		s, err := session.NewSession(ctx, "")
		if err != nil {
			return "", err
		}
		defer s.Close()
		s.Allow(credentials(r.Auth))
		req.Session = s.ID()
		go func() { _ = s.Run(ctx, o.dialSession) }()
	}
	events := make(chan *controlapi.StatusResponse)
	g.Go(func() error {
		resp, err := o.controller.Solve(ctx, req)
		if err != nil {
			return err
		}
		id = resp.ExporterResponse["containerimage.config.digest"]
		if id == "" {
			id = resp.ExporterResponse["containerimage.digest"]
		}
		return nil
	})
	g.Go(func() error {
		defer close(events)
		err := o.controller.Status(&controlapi.StatusRequest{Ref: req.Ref}, &statusStream{ctx: ctx, to: events})
		if ctx.Err() != nil {
			return nil // the solver's error is the one to tell
		}
		return err
	})
	g.Go(func() error {
		for e := range events {
			if err := trace(e); err != nil {
				cancel()
				for range events {
				}
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return "", err
	}
	return id, nil
}

// Cancel ends a build by the id that its client gave it.
func (b *Builder) Cancel(id string) { b.jobs.cancel(id) }

// solve is the request in BuildKit's words.
func (r *Request) solve() (*controlapi.SolveRequest, error) {
	a := map[string]string{"image-resolve-mode": "local"}
	if r.Pull {
		a["image-resolve-mode"] = "pull"
	}
	if r.Target != "" {
		a["target"] = r.Target
	}
	if r.Dockerfile != "" && r.Dockerfile != "." {
		a["filename"] = r.Dockerfile
	}
	if r.Remote != "" && r.Remote != "client-session" {
		a["context"] = r.Remote
	}
	for k, v := range r.Args {
		if v != nil {
			a["build-arg:"+k] = *v
		}
	}
	for k, v := range r.Labels {
		a["label:"+k] = v
	}
	if r.NoCache {
		a["no-cache"] = ""
	}
	if r.Platform != "" {
		a["platform"] = r.Platform
	}
	req := &controlapi.SolveRequest{Ref: identity.NewID(), Frontend: "dockerfile.v0", FrontendAttrs: a, Session: r.Session, Cache: &controlapi.CacheOptions{}}
	switch r.Network {
	case "", "default", "bridge":
	case "host":
		req.Entitlements = append(req.Entitlements, "network.host")
		a["force-network-mode"] = r.Network
	case "none":
		a["force-network-mode"] = r.Network
	default:
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network mode %q not supported by buildkit", r.Network))
	}
	if len(r.ExtraHosts) > 0 {
		hosts, err := extraHosts(r.ExtraHosts)
		if err != nil {
			return nil, err
		}
		a["add-hosts"] = hosts
	}
	if r.ShmSize > 0 {
		a["shm-size"] = strconv.FormatInt(r.ShmSize, 10)
	}
	if r.CgroupParent != "" {
		a["cgroup-parent"] = r.CgroupParent
	}
	var limits []string
	for _, u := range r.Ulimits {
		limits = append(limits, u.String())
	}
	if len(limits) > 0 {
		a["ulimit"] = strings.Join(limits, ",")
	}
	for _, ref := range r.CacheFrom {
		req.Cache.Imports = append(req.Cache.Imports, &controlapi.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}})
	}
	if v := r.Args["BUILDKIT_INLINE_CACHE"]; v != nil {
		if on, err := strconv.ParseBool(*v); err == nil && on {
			req.Cache.Exports = append(req.Cache.Exports, &controlapi.CacheOptionsEntry{Type: "inline"})
		}
	}
	return req, r.output(req)
}

// output says what becomes of the result.
func (r *Request) output(req *controlapi.SolveRequest) error {
	out := Output{Type: client.ExporterImage}
	switch len(r.Outputs) {
	case 0:
	case 1:
		if o := r.Outputs[0]; o.Type != "cacheonly" {
			out = Output{o.Type, maps.Clone(o.Attrs)}
		} else {
			return nil
		}
	default:
		return errdefs.ErrInvalidArgument.WithMessage("multiple outputs not supported")
	}
	if out.Type == "moby" {
		out.Type = client.ExporterImage
	}
	if out.Attrs == nil {
		out.Attrs = make(map[string]string)
	}
	if out.Type == client.ExporterImage && len(r.Tags) > 0 {
		if _, err := splitNames(strings.Join(r.Tags, ",")); err != nil {
			return err
		}
		out.Attrs["name"] = strings.Join(r.Tags, ",")
	}
	req.Exporters = []*controlapi.Exporter{{Type: out.Type, Attrs: out.Attrs}}
	return nil
}

// extraHosts are --add-host entries as the frontend wants them.
func extraHosts(list []string) (string, error) {
	var out []string
	for _, h := range list {
		name, ip, ok := strings.Cut(h, "=")
		if !ok {
			name, ip, ok = strings.Cut(h, ":")
		}
		if !ok || name == "" || ip == "" {
			return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid host %s", h))
		}
		out = append(out, name+"="+strings.Trim(ip, "[]"))
	}
	return strings.Join(out, ","), nil
}

// statusStream is the receiving end of Status inside this process.
type statusStream struct {
	grpc.ServerStream
	ctx context.Context
	to  chan<- *controlapi.StatusResponse
}

func (s *statusStream) Context() context.Context { return s.ctx }

func (s *statusStream) Send(r *controlapi.StatusResponse) error { return s.SendMsg(r) }

// SendHeader implements grpc.ServerStream.
func (s *statusStream) SendHeader(metadata.MD) error { return nil }

// SetHeader implements grpc.ServerStream.
func (s *statusStream) SetHeader(metadata.MD) error { return nil }

// SendMsg implements grpc.ServerStream.
func (s *statusStream) SendMsg(m any) error {
	r, ok := m.(*controlapi.StatusResponse)
	if !ok {
		return errors.New("an unexpected message of the solver")
	}
	select {
	case s.to <- r:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}
