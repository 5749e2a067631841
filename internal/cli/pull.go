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

// transfer is what pull and push are asked for.
type transfer struct {
	repo, tag  string
	all, quiet bool
	query      url.Values // tag and platform
}

// transfer reads the options of pull and push, and says so when the tag is the default one.
func (a *App) transfer(verb string, args []string) (*transfer, error) {
	o := newOptions()
	all := o.flag("all-tags", 'a', "All tags of the repository")
	quiet := o.flag("quiet", 'q', "Suppress verbose output")
	platform := o.text("platform", 0, "", "Platform, os/arch[/variant]")
	args, err := o.parse(args, false)
	if err != nil {
		return nil, err
	}
	if len(args) != 1 {
		return nil, misused("%s takes one image, got %d arguments", verb, len(args))
	}
	t := &transfer{all: *all, quiet: *quiet}
	t.repo, t.tag = splitReference(args[0])
	switch {
	case t.all && t.tag != "":
		return nil, misused("tag can't be used with --all-tags/-a")
	case !t.all && t.tag == "":
		t.tag = "latest"
		if !t.quiet {
			fmt.Fprintln(a.Out, "Using default tag: latest")
		}
	}
	t.query = url.Values{"tag": {t.tag}}
	if *platform != "" {
		t.query.Set("platform", *platform)
	}
	return t, nil
}

func (a *App) pull(ctx context.Context, args []string) error {
	t, err := a.transfer("pull", args)
	if err != nil {
		return err
	}
	t.query.Set("fromImage", t.repo)
	header, err := a.authHeader(ctx, t.repo)
	if err != nil {
		return err
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/create", query: t.query, header: header})
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := a.show(body, t.quiet); err != nil {
		return err
	}
	if !t.all {
		sep := ":"
		if strings.Contains(t.tag, ":") {
			sep = "@"
		}
		fmt.Fprintln(a.Out, canonical(t.repo)+sep+t.tag)
	}
	return nil
}

func (a *App) push(ctx context.Context, args []string) error {
	t, err := a.transfer("push", args)
	if err != nil {
		return err
	}
	header, err := a.authHeader(ctx, t.repo)
	if err != nil {
		return err
	}
	if header == nil {
		header = http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString([]byte("{}"))}} // older daemons insist
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/" + t.repo + "/push", query: t.query, header: header})
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := a.show(body, t.quiet); err != nil {
		return err
	}
	if t.quiet {
		fmt.Fprintln(a.Out, canonical(t.repo)+":"+t.tag)
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

// search passes the question on; the answer says why there is none.
func (a *App) search(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return misused("search takes one term, got %d arguments", len(args))
	}
	return a.client.get(ctx, call{method: "GET", path: "/images/search", query: url.Values{"term": args}}, nil)
}
