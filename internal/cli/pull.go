package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

func (a *App) pull(ctx context.Context, args []string) error {
	o := newOptions()
	all := o.flag("all-tags", 'a')
	quiet := o.flag("quiet", 'q')
	platform := o.text("platform", 0, "")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return misused("pull takes one image, got %d arguments", len(args))
	}
	repo, tag := splitReference(args[0])
	switch {
	case *all && tag != "":
		return misused("tag can't be used with --all-tags/-a")
	case !*all && tag == "":
		tag = "latest"
		if !*quiet {
			fmt.Fprintln(a.Out, "Using default tag: latest")
		}
	}
	q := url.Values{"fromImage": {repo}, "tag": {tag}}
	if *platform != "" {
		q.Set("platform", *platform)
	}
	header, err := a.authHeader(ctx, repo)
	if err != nil {
		return err
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/create", query: q, header: header})
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := a.show(body, *quiet); err != nil {
		return err
	}
	if !*all {
		sep := ":"
		if strings.Contains(tag, ":") {
			sep = "@"
		}
		fmt.Fprintln(a.Out, canonical(repo)+sep+tag)
	}
	return nil
}

func (a *App) push(ctx context.Context, args []string) error {
	o := newOptions()
	all := o.flag("all-tags", 'a')
	quiet := o.flag("quiet", 'q')
	platform := o.text("platform", 0, "")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return misused("push takes one image, got %d arguments", len(args))
	}
	repo, tag := splitReference(args[0])
	switch {
	case *all && tag != "":
		return misused("tag can't be used with --all-tags/-a")
	case !*all && tag == "":
		tag = "latest"
		if !*quiet {
			fmt.Fprintln(a.Out, "Using default tag: latest")
		}
	}
	q := url.Values{"tag": {tag}}
	if *platform != "" {
		q.Set("platform", *platform)
	}
	header, err := a.authHeader(ctx, repo)
	if err != nil {
		return err
	}
	if header == nil {
		header = http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString([]byte("{}"))}} // older daemons insist
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/" + repo + "/push", query: q, header: header})
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := a.show(body, *quiet); err != nil {
		return err
	}
	if *quiet {
		fmt.Fprintln(a.Out, canonical(repo)+":"+tag)
	}
	return nil
}

// domainOf is the registry of a name: its first part, if that looks like a host.
func domainOf(repo string) string {
	first, _, ok := strings.Cut(repo, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost" || strings.ToLower(first) != first) {
		return first
	}
	return "docker.io"
}

// canonical is a repository in full: docker.io/library/alpine.
func canonical(repo string) string {
	if domainOf(repo) != "docker.io" || strings.HasPrefix(repo, "docker.io/") {
		return repo
	}
	if !strings.Contains(repo, "/") {
		repo = "library/" + repo
	}
	return "docker.io/" + repo
}

// authHeader carries the credentials that Docker's config.json has for a repository's registry;
// nil for none.
func (a *App) authHeader(ctx context.Context, repo string) (http.Header, error) {
	c, err := a.credential(ctx, domainOf(repo))
	if err != nil {
		return nil, err
	}
	if c == (credential{}) {
		return nil, nil
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString(raw)}}, nil
}
