package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"text/template"

	"github.com/docker/go-units"
)

// size4 is a number of bytes with four digits, as system df and prune show it.
func size4(n int64) string { return units.HumanSize(float64(n)) }

// clientVersion is hull's part of version.
type clientVersion struct {
	Version           string `json:",omitempty"`
	APIVersion        string `json:"ApiVersion,omitempty"`
	DefaultAPIVersion string
	GitCommit         string `json:",omitempty"`
	GoVersion         string `json:",omitempty"`
	Os, Arch          string
	Context           string
}

// serverVersion is the daemon's.
type serverVersion struct {
	Platform      struct{ Name string }
	Components    []component `json:",omitempty"`
	Version       string
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string `json:",omitempty"`
	GitCommit     string
	GoVersion     string
	Os, Arch      string
	KernelVersion string `json:",omitempty"`
	Experimental  bool   `json:",omitempty"`
	BuildTime     string `json:",omitempty"`
}

type component struct {
	Name, Version string
	Details       map[string]string `json:",omitempty"`
}

func (a *App) version(ctx context.Context, args []string) error {
	o := newOptions()
	format := o.text("format", 'f', "", inspectFormatHelp)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 0, 0); err != nil {
		return err
	}
	var t *template.Template
	if *format != "" && *format != "json" {
		if t, err = template.New("").Funcs(functions()).Parse(*format); err != nil {
			return statusError{64, fmt.Sprintf("template parsing error: %v", err)}
		}
	}
	shown := struct {
		Client clientVersion
		Server *serverVersion
	}{Client: clientVersion{
		Version: a.Version, APIVersion: apiVersion[2:], DefaultAPIVersion: apiVersion[2:], GitCommit: a.Commit,
		GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, Context: a.currentContext(),
	}}
	var server serverVersion
	failed := a.client.get(ctx, call{method: "GET", path: "/version"}, &server)
	if failed == nil {
		shown.Server = &server
		shown.Client.APIVersion = a.client.version
	}
	switch {
	case *format == "json":
		raw, err := json.Marshal(shown)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "%s\n", raw)
	case t != nil:
		if err := t.Execute(a.Out, shown); err != nil {
			return errors.Join(fmt.Errorf("template: %w", err), failed)
		}
		fmt.Fprintln(a.Out)
	default:
		if err := printVersion(a.Out, &shown.Client, shown.Server); err != nil {
			return err
		}
	}
	return failed
}

func printVersion(w io.Writer, c *clientVersion, s *serverVersion) error {
	t := tabwriter.NewWriter(w, 20, 1, 1, ' ', 0)
	api := c.APIVersion
	if api != c.DefaultAPIVersion {
		api += " (downgraded from " + c.DefaultAPIVersion + ")"
	}
	fmt.Fprintf(t, "Client:\n Version:\t%s\n API version:\t%s\n Go version:\t%s\n Git commit:\t%s\n OS/Arch:\t%s/%s\n Context:\t%s\n", c.Version, api, c.GoVersion, c.GitCommit, c.Os, c.Arch, c.Context)
	if s == nil {
		return t.Flush()
	}
	name := ""
	if s.Platform.Name != "" {
		name = " " + s.Platform.Name
	}
	fmt.Fprintf(t, "\nServer:%s\n", name)
	if len(s.Components) == 0 {
		s.Components = []component{{Name: "Engine", Version: s.Version, Details: map[string]string{
			"ApiVersion": s.APIVersion, "MinAPIVersion": s.MinAPIVersion, "GoVersion": s.GoVersion, "GitCommit": s.GitCommit,
			"BuildTime": s.BuildTime, "Os": s.Os, "Arch": s.Arch, "Experimental": fmt.Sprint(s.Experimental),
		}}}
	}
	for _, c := range s.Components {
		fmt.Fprintf(t, " %s:\n  Version:\t%s\n", c.Name, c.Version)
		if c.Name == "Engine" {
			d := c.Details
			fmt.Fprintf(t, "  API version:\t%s (minimum version %s)\n  Go version:\t%s\n  Git commit:\t%s\n  Built:\t%s\n  OS/Arch:\t%s/%s\n  Experimental:\t%s\n",
				d["ApiVersion"], d["MinAPIVersion"], d["GoVersion"], d["GitCommit"], d["BuildTime"], d["Os"], d["Arch"], d["Experimental"])
			continue
		}
		for _, key := range sortedKeys(c.Details) {
			fmt.Fprintf(t, "  %s:\t%s\n", key, c.Details[key])
		}
	}
	return t.Flush()
}
