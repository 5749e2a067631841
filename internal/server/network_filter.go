package server

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/network"
)

// networkFilter reads the filters of the list of networks.
func (s *Server) networkFilter(r *request) (func(*network.Network) bool, error) {
	f, err := r.filters("dangling", "driver", "id", "label", "name", "scope", "type")
	if err != nil {
		return nil, err
	}
	dangling, err := f.flag("dangling")
	if err != nil {
		return nil, err
	}
	for _, t := range f["type"] {
		if t != "custom" && t != "builtin" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: 'type'='" + t + "'")
		}
	}
	return func(n *network.Network) bool {
		kind := "custom"
		if isPredefined(n) {
			kind = "builtin"
		}
		return among(f["driver"], n.Driver) && among(f["scope"], "local") && among(f["type"], kind) &&
			like(f["name"], n.Name) && like(f["id"], n.ID) && labelled(n.Labels, f["label"], nil) &&
			(dangling == nil || *dangling == (kind == "custom" && len(s.containersOf(n)) == 0))
	}, nil
}

// among says whether a value is one of those that are asked for; none asks for all.
func among(want []string, value string) bool { return len(want) == 0 || slices.Contains(want, value) }

// like says whether a value matches one of some regular expressions, as Docker has it.
func like(want []string, value string) bool {
	return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool {
		if w == value {
			return true
		}
		re, err := regexp.Compile(w)
		return err == nil && re.MatchString(value)
	})
}

// labelled says whether labels have all of some, KEY or KEY=VALUE, and none of others.
func labelled(labels map[string]string, all, none []string) bool {
	has := func(want string) bool {
		k, v, valued := strings.Cut(want, "=")
		got, ok := labels[k]
		return ok && (!valued || got == v)
	}
	return !slices.ContainsFunc(all, func(l string) bool { return !has(l) }) && !slices.ContainsFunc(none, has)
}

// pruneNetworks reads the filters of prune.
func (r *request) pruneNetworks() (func(*network.Network) bool, error) {
	f, err := r.filters("until", "label", "label!")
	if err != nil {
		return nil, err
	}
	until, err := f.until()
	if err != nil {
		return nil, err
	}
	if until.IsZero() {
		until = time.Now()
	}
	return func(n *network.Network) bool {
		return !isPredefined(n) && n.Created.Before(until) && labelled(n.Labels, f["label"], f["label!"])
	}, nil
}
