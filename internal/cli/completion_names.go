package cli

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// namedKinds says which objects a verb is about, for the verbs that do not begin with their kind.
var namedKinds = map[string]string{
	"images": "image", "push": "image", "tag": "image", "rmi": "image", "history": "image", "save": "image", "run": "image", "create": "image",
	"container run": "image", "container create": "image", "inspect": "all",
	"attach": "container", "commit": "container", "cp": "container", "diff": "container", "exec": "container", "export": "container",
	"kill": "container", "logs": "container", "pause": "container", "port": "container", "rename": "container", "restart": "container",
	"rm": "container", "start": "container", "stats": "container", "stop": "container", "top": "container", "unpause": "container",
	"update": "container", "wait": "container", "checkpoint create": "container", "checkpoint ls": "container", "checkpoint rm": "container",
	"image pull": "", "volume create": "", "network create": "",
}

// names asks the daemon, if one runs, for the names of what a verb is about.
func (a *App) names(ctx context.Context, v *verb) []string {
	kind, ok := namedKinds[v.name]
	if group, _, grouped := strings.Cut(v.name, " "); !ok && grouped {
		kind = group
	}
	quiet := newClient(a.client.endpoint)
	quiet.host = a.client.url() // completing starts nothing
	about := func(k string) bool { return kind == k || kind == "all" }
	var out []string
	if about("image") {
		var list []listedImage
		_ = quiet.get(ctx, call{method: "GET", path: "/images/json", query: url.Values{}}, &list) // no names, then
		for _, img := range list {
			out = append(out, img.RepoTags...)
		}
	}
	if about("container") {
		var list []listedContainer
		_ = quiet.get(ctx, call{method: "GET", path: "/containers/json", query: url.Values{"all": {"1"}}}, &list)
		for i := range list {
			out = append(out, list[i].names(false))
		}
	}
	if about("volume") {
		var list struct{ Volumes []listedVolume }
		_ = quiet.get(ctx, call{method: "GET", path: "/volumes"}, &list)
		for _, v := range list.Volumes {
			out = append(out, v.Name)
		}
	}
	if about("network") {
		var list []struct{ Name string }
		_ = quiet.get(ctx, call{method: "GET", path: "/networks"}, &list)
		for _, n := range list {
			out = append(out, n.Name)
		}
	}
	if kind == "context" {
		all, _ := storedContexts()
		for _, m := range all {
			out = append(out, m.Name)
		}
	}
	for i := range out {
		out[i] = clean(out[i])
	}
	slices.Sort(out)
	return out
}
