package engine

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/image"
)

// ListOptions of List.
type ListOptions struct {
	All     bool                // also those that do not run
	Limit   int                 // the newest so many, running or not; 0: no limit
	Filters map[string][]string // Docker's, by key
}

// ListFilters are the keys that List knows.
func ListFilters() []string {
	return []string{"ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "name", "network", "publish", "since", "status", "volume"}
}

// List is the containers that the options take, the newest first.
func (e *Engine) List(ctx context.Context, o ListOptions) ([]*View, error) {
	f, err := e.newFilter(ctx, o.Filters)
	if err != nil {
		return nil, err
	}
	all := e.Views()
	slices.SortFunc(all, func(a, b *View) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	// A filter that names what does not run shows it.
	hidden := !o.All && o.Limit <= 0 && len(o.Filters["status"]) == 0 && len(o.Filters["exited"]) == 0 &&
		len(o.Filters["before"]) == 0 && len(o.Filters["since"]) == 0
	out := []*View{}
	for _, v := range all {
		if p := v.State.Phase; hidden && !alive(p) && p != Restarting {
			continue
		}
		if !f.takes(v) {
			continue
		}
		out = append(out, v)
		if o.Limit > 0 && len(out) == o.Limit {
			break
		}
	}
	return out, nil
}

// filter is decoded ListOptions.Filters.
type filter struct {
	raw           map[string][]string
	before, since *View
	names         []*regexp.Regexp
	exited        []int
	ancestors     map[image.ID]bool // also those whose layers are an ancestor's
	chains        []image.ChainID
	publish       []portRange
	expose        []portRange
}

func badFilter(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func (e *Engine) newFilter(ctx context.Context, raw map[string][]string) (f filter, err error) {
	f.raw = raw
	for key, to := range map[string]**View{"before": &f.before, "since": &f.since} {
		for _, name := range raw[key] {
			if *to, err = e.Find(name); err != nil {
				return f, err
			}
		}
	}
	for _, n := range raw["name"] {
		re, err := regexp.Compile(strings.TrimPrefix(n, "/"))
		if err != nil {
			return f, badFilter("invalid filter 'name=%s': %v", n, err)
		}
		f.names = append(f.names, re)
	}
	for _, x := range raw["exited"] {
		n, err := strconv.Atoi(x)
		if err != nil {
			return f, badFilter("invalid filter 'exited=%s': strconv.Atoi: parsing %q: invalid syntax", x, x)
		}
		f.exited = append(f.exited, n)
	}
	for _, s := range raw["status"] {
		if err := container.ValidateContainerState(Phase(s)); err != nil {
			return f, badFilter("%v", err)
		}
	}
	for _, s := range raw["health"] {
		if err := container.ValidateHealthStatus(container.HealthStatus(s)); err != nil {
			return f, badFilter("%v", err)
		}
	}
	for _, s := range raw["is-task"] {
		if _, err := strconv.ParseBool(s); err != nil {
			return f, badFilter("invalid filter 'is-task=%s'", s)
		}
	}
	if f.publish, err = portRanges("publish", raw["publish"]); err != nil {
		return f, err
	}
	if f.expose, err = portRanges("expose", raw["expose"]); err != nil {
		return f, err
	}
	if len(raw["ancestor"]) > 0 {
		f.ancestors = make(map[image.ID]bool)
		for _, name := range raw["ancestor"] {
			img, err := e.opts.Images.Find(ctx, name)
			if err != nil {
				continue // no container is of an image that is not there
			}
			f.ancestors[img.ID] = true
			if n := len(img.Layers); n > 0 {
				f.chains = append(f.chains, img.Layers[n-1].Chain)
			}
		}
	}
	return f, nil
}

// takes says whether every key has a value that fits.
func (f *filter) takes(v *View) bool {
	if f.before != nil && !v.Created.Before(f.before.Created) || f.since != nil && !v.Created.After(f.since.Created) {
		return false
	}
	for key, values := range f.raw {
		if len(values) > 0 && !f.fits(v, key, values) {
			return false
		}
	}
	return true
}

func (f *filter) fits(v *View, key string, values []string) bool {
	any := func(match func(s string) bool) bool { return slices.ContainsFunc(values, match) }
	switch key {
	case "id":
		return any(func(s string) bool { return strings.HasPrefix(string(v.ID), s) })
	case "name":
		return slices.ContainsFunc(f.names, func(re *regexp.Regexp) bool { return re.MatchString(v.Name) || re.MatchString("/"+v.Name) })
	case "label":
		return !slices.ContainsFunc(values, func(s string) bool { return !hasLabel(v.Config.Labels, s) })
	case "exited":
		return v.State.Phase == Exited && slices.Contains(f.exited, v.State.ExitCode)
	case "status":
		return slices.Contains(values, string(v.State.Phase))
	case "health":
		return slices.Contains(values, string(healthOf(v)))
	case "is-task":
		return any(func(s string) bool { b, _ := strconv.ParseBool(s); return !b })
	case "ancestor":
		return f.ancestors[v.Image] || slices.ContainsFunc(f.chains, func(c image.ChainID) bool { return slices.Contains(v.Layers, c) })
	case "volume":
		return any(func(s string) bool {
			return slices.ContainsFunc(v.Mounts, func(m Mount) bool {
				return m.Name == s || m.Destination == path.Clean(s) || m.Type == "bind" && m.Source == s
			})
		})
	case "network":
		return any(func(s string) bool { return inNetwork(v, s) })
	case "publish":
		return slices.ContainsFunc(f.publish, func(r portRange) bool {
			for p, b := range v.Ports {
				if len(b) > 0 && r.proto == string(p.Proto()) {
					for _, x := range b {
						if n, err := strconv.ParseUint(x.HostPort, 10, 16); err == nil && r.has(uint16(n)) {
							return true
						}
					}
				}
			}
			return false
		})
	case "expose":
		return slices.ContainsFunc(f.expose, func(r portRange) bool {
			for p := range v.Config.ExposedPorts {
				if r.proto == string(p.Proto()) && r.has(p.Num()) {
					return true
				}
			}
			return false
		})
	}
	return true // before and since are done, isolation means nothing here
}

func hasLabel(labels map[string]string, want string) bool {
	key, value, has := strings.Cut(want, "=")
	got, ok := labels[key]
	return ok && (!has || got == value)
}

func healthOf(v *View) container.HealthStatus {
	if v.State.Health == nil {
		return container.NoHealthcheck
	}
	return v.State.Health.Status
}

func inNetwork(v *View, want string) bool {
	for name, ep := range v.Endpoints {
		if name == want || ep != nil && ep.NetworkID != "" && strings.HasPrefix(ep.NetworkID, want) {
			return true
		}
	}
	return false
}

// portRange is PORT[-PORT][/PROTO] of a filter.
type portRange struct {
	from, to uint16
	proto    string
}

func (r portRange) has(p uint16) bool { return r.from <= p && p <= r.to }

func portRanges(key string, values []string) (out []portRange, err error) {
	for _, s := range values {
		r, err := network.ParsePortRange(s)
		if err != nil {
			return nil, badFilter("invalid filter '%s=%s': %v", key, s, err)
		}
		out = append(out, portRange{r.Start(), r.End(), string(r.Proto())})
	}
	return out, nil
}
