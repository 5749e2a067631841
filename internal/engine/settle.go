package engine

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/spec"
)

// settle checks a new container's configuration and fills in what it leaves open, so that inspect
// shows what holds.
func (e *Engine) settle(ctx context.Context, v *View, endpoints map[string]*network.EndpointSettings) error {
	warnings, err := spec.Validate(v.Config, v.Host, e.opts.Facts)
	if err != nil {
		return err
	}
	v.Warnings = warnings
	if _, err := ParseSignal(v.Config.StopSignal, 0); err != nil {
		return err
	}
	others, err := e.joined(v)
	if err != nil {
		return err
	}
	for kind, other := range others {
		// By its ID from now on: the other's name may be given to a third one.
		switch mode := "container:" + string(other.ID); kind {
		case "net":
			v.Host.NetworkMode = container.NetworkMode(mode)
		case "pid":
			v.Host.PidMode = container.PidMode(mode)
		case "ipc":
			v.Host.IpcMode = container.IpcMode(mode)
		}
	}
	if err := e.settleLinks(v); err != nil {
		return err
	}
	switch {
	case v.Config.Hostname != "":
	case others["net"] != nil:
		v.Config.Hostname, v.Config.Domainname = others["net"].Config.Hostname, others["net"].Config.Domainname
	case v.Host.UTSMode.IsHost() || v.Host.NetworkMode.IsHost():
		if v.Config.Hostname, err = os.Hostname(); err != nil {
			return err
		}
	default:
		v.Config.Hostname = v.ID.Short()
	}
	if v.Host.RestartPolicy.Name == "" {
		v.Host.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if v.Config.Labels == nil {
		v.Config.Labels = map[string]string{}
	}
	v.Config.Env = slices.Clip(v.Config.Env)
	return e.settleNetwork(ctx, v, endpoints)
}

// settleLinks finds the containers of legacy links, NAME[:ALIAS].
func (e *Engine) settleLinks(v *View) error {
	for _, l := range v.Host.Links {
		name, alias, ok := strings.Cut(l, ":")
		if !ok {
			alias = strings.TrimPrefix(name, "/")
		}
		// As inspect shows them: /OTHER:/CONTAINER/ALIAS.
		if i := strings.LastIndexByte(alias, '/'); i >= 0 {
			alias = alias[i+1:]
		}
		if name == "" || alias == "" {
			return errdefs.ErrInvalidArgument.WithMessage("bad format for links: " + l)
		}
		other, err := e.Find(name)
		if err != nil {
			return errdefs.ErrInvalidArgument.WithMessage("could not get container for " + name + ": " + err.Error())
		}
		if v.LinksTo == nil {
			v.LinksTo = make(map[string]ID)
		}
		v.LinksTo[alias] = other.ID
	}
	return nil
}
