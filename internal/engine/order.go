package engine

import (
	"cmp"
	"slices"
	"strings"
)

// Labels that Compose gives containers: who they are, and whom they need.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelDepends = "com.docker.compose.depends_on" // "db:service_healthy:false,cache:service_started:true"
)

// needs are the containers that another one needs to run: those whose namespaces it joins, those it is
// linked to, and what Compose's depends_on says.
func (e *Engine) needs(v *View) map[ID]bool {
	out := make(map[ID]bool)
	if others, err := e.joined(v); err == nil {
		for _, o := range others {
			out[o.ID] = true
		}
	}
	for _, id := range v.LinksTo {
		out[id] = true
	}
	depends, project := v.Config.Labels[labelDepends], v.Config.Labels[labelProject]
	if depends == "" || project == "" {
		return out
	}
	services := make(map[string]bool)
	for d := range strings.SplitSeq(depends, ",") {
		service, _, _ := strings.Cut(d, ":")
		services[service] = true
	}
	for _, o := range e.Views() {
		if o.Config.Labels[labelProject] == project && services[o.Config.Labels[labelService]] {
			out[o.ID] = true
		}
	}
	return out
}

// startOrder sorts containers so that each comes after those it needs; in a circle, by age.
func (e *Engine) startOrder(views map[ID]*View) []*View {
	byAge := make([]*View, 0, len(views))
	for _, v := range views {
		byAge = append(byAge, v)
	}
	slices.SortFunc(byAge, func(a, b *View) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	var out []*View
	seen := make(map[ID]bool)
	var visit func(v *View)
	visit = func(v *View) {
		if seen[v.ID] {
			return
		}
		seen[v.ID] = true
		needs := e.needs(v)
		for _, o := range byAge {
			if needs[o.ID] {
				visit(o)
			}
		}
		out = append(out, v)
	}
	for _, v := range byAge {
		visit(v)
	}
	return out
}
