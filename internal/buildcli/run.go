package buildcli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/session/upload/uploadprovider"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
)

// run is one build.
func run(ctx context.Context, o *options, stdin io.Reader, stdout, stderr io.Writer) error {
	c, err := dial(ctx, o.host)
	if err != nil {
		return err
	}
	defer c.Close()
	defer func() {
		if o.temp != "" {
			os.RemoveAll(o.temp)
		}
	}()
	opt, err := o.solve(stdin, stdout, stderr)
	if err != nil {
		return err
	}
	mode := progressui.DisplayMode(o.progress)
	if o.quiet {
		mode = progressui.QuietMode
	}
	out, ok := stderr.(*os.File)
	if !ok {
		return errors.New("progress wants a file")
	}
	display, err := progressui.NewDisplay(out, mode)
	if err != nil {
		return err
	}
	events := make(chan *client.SolveStatus)
	var result *client.SolveResponse
	g := new(errgroup.Group)
	g.Go(func() (err error) {
		result, err = c.Solve(ctx, nil, *opt, events)
		return err
	})
	g.Go(func() error {
		_, err := display.UpdateFrom(context.WithoutCancel(ctx), events)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return o.tell(result, stdout)
}

// tell writes what is known of the result to where it is asked for.
func (o *options) tell(r *client.SolveResponse, stdout io.Writer) error {
	id := r.ExporterResponse["containerimage.config.digest"]
	if id == "" {
		id = r.ExporterResponse["containerimage.digest"]
	}
	if text := r.ExporterResponse["result.txt"]; o.check && text != "" {
		fmt.Fprint(stdout, text)
	}
	if o.quiet && id != "" {
		fmt.Fprintln(stdout, id)
	}
	if o.iidFile != "" {
		if err := os.WriteFile(o.iidFile, []byte(id), 0o644); err != nil {
			return fmt.Errorf("writing --iidfile: %w", err)
		}
	}
	if o.metadataFile != "" {
		raw, err := json.MarshalIndent(r.ExporterResponse, "", "  ")
		if err == nil {
			err = os.WriteFile(o.metadataFile, append(raw, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("writing --metadata-file: %w", err)
		}
	}
	return nil
}

// dial connects to hulld: BuildKit's protocol on a connection that was HTTP/1 before.
func dial(ctx context.Context, host string) (*client.Client, error) {
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return nil, fmt.Errorf("%s: hull build speaks to unix:// sockets", host)
	}
	return client.New(ctx, "", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return upgrade(ctx, path)
	}))
}

// upgrade makes a connection one of HTTP/2.
func upgrade(ctx context.Context, path string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to hulld: %w", err)
	}
	want := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
	head := make([]byte, len(want))
	_, err = io.WriteString(conn, "POST /grpc HTTP/1.1\r\nHost: hulld\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n")
	if err == nil {
		_, err = io.ReadFull(conn, head)
	}
	if err == nil && string(head) != want {
		first, _, _ := strings.Cut(string(head), "\r\n")
		err = fmt.Errorf("%s does not build: %s, not %d", path, first, http.StatusSwitchingProtocols)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// solve is the build in BuildKit's words, with all that the session gives.
func (o *options) solve(stdin io.Reader, stdout, stderr io.Writer) (*client.SolveOpt, error) {
	a, err := o.attrs()
	if err != nil {
		return nil, err
	}
	opt := &client.SolveOpt{Frontend: "dockerfile.v0", FrontendAttrs: a, LocalMounts: map[string]fsutil.FS{}, AllowedEntitlements: o.allow}
	if o.network == "host" {
		opt.AllowedEntitlements = append(opt.AllowedEntitlements, "network.host")
	}
	credentials := config.LoadDefaultConfigFile(stderr)
	opt.Session = []session.Attachable{authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: authprovider.LoadAuthConfig(credentials)})}
	if err := o.addContexts(opt, stdin); err != nil {
		return nil, err
	}
	if err := o.addSecrets(opt); err != nil {
		return nil, err
	}
	if err := o.addCaches(opt); err != nil {
		return nil, err
	}
	if o.check {
		return opt, nil
	}
	return opt, o.addOutputs(opt, stdout)
}

// addContexts gives the session the directories that the build may ask for.
func (o *options) addContexts(opt *client.SolveOpt, stdin io.Reader) error {
	add := func(name, dir string) error {
		f, err := fsutil.NewFS(dir)
		if err != nil {
			return fmt.Errorf("unable to prepare context: %w", err)
		}
		opt.LocalMounts[name] = f
		return nil
	}
	file := o.file
	switch {
	case o.context == "-":
		up := uploadprovider.New()
		opt.Session = append(opt.Session, up)
		opt.FrontendAttrs["context"] = up.Add(io.NopCloser(stdin))
		if file != "" {
			opt.FrontendAttrs["filename"] = file
		}
		file = ""
	case strings.Contains(o.context, "://") || strings.HasPrefix(o.context, "git@"):
		opt.FrontendAttrs["context"] = o.context
		if file != "" {
			opt.FrontendAttrs["filename"] = file
		}
		file = ""
	default:
		if err := add("context", o.context); err != nil {
			return err
		}
		if err := o.addDockerfile(opt, file, stdin, add); err != nil {
			return err
		}
	}
	for _, c := range o.contexts {
		name, where, ok := strings.Cut(c, "=")
		if !ok {
			return fmt.Errorf("invalid context value: %s, expected key=value", c)
		}
		if strings.Contains(where, "://") {
			opt.FrontendAttrs["context:"+name] = where
			continue
		}
		if err := add(name, where); err != nil {
			return err
		}
		opt.FrontendAttrs["context:"+name] = "local:" + name
	}
	return nil
}

// addDockerfile finds the Dockerfile of a local context.
func (o *options) addDockerfile(opt *client.SolveOpt, file string, stdin io.Reader, add func(name, dir string) error) error {
	dir, name := o.context, "Dockerfile"
	switch {
	case file == "-":
		tmp, err := os.MkdirTemp("", "hull-build")
		if err != nil {
			return err
		}
		o.temp = tmp
		f, err := os.Create(filepath.Join(tmp, name))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, io.LimitReader(stdin, 16<<20))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("reading the Dockerfile from standard input: %w", err)
		}
		dir = tmp
	case file != "":
		dir, name = filepath.Split(file)
		if dir == "" {
			dir = "."
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("failed to read dockerfile: %w", err)
		}
	}
	opt.FrontendAttrs["filename"] = name
	return add("dockerfile", dir)
}

// addSecrets gives the session secrets and ssh agents.
func (o *options) addSecrets(opt *client.SolveOpt) error {
	var sources []secretsprovider.Source
	for _, s := range o.secrets {
		f, err := fields(s)
		if err != nil {
			return err
		}
		src := secretsprovider.Source{ID: f["id"], Env: f["env"]}
		for _, key := range []string{"src", "source"} {
			if f[key] != "" {
				src.FilePath = f[key]
			}
		}
		if f["type"] == "env" && src.Env == "" {
			src.Env, src.FilePath = src.FilePath, ""
		}
		sources = append(sources, src)
	}
	if len(sources) > 0 {
		store, err := secretsprovider.NewStore(sources)
		if err != nil {
			return err
		}
		opt.Session = append(opt.Session, secretsprovider.NewSecretProvider(store))
	}
	var agents []sshprovider.AgentConfig
	for _, s := range o.ssh {
		id, paths, _ := strings.Cut(s, "=")
		c := sshprovider.AgentConfig{ID: id}
		if paths != "" {
			c.Paths = strings.Split(paths, ",")
		}
		agents = append(agents, c)
	}
	if len(agents) > 0 {
		p, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return err
		}
		opt.Session = append(opt.Session, p)
	}
	return nil
}

// addCaches says where results come from and go to.
func (o *options) addCaches(opt *client.SolveOpt) error {
	read := func(s string) (client.CacheOptionsEntry, error) {
		f, err := fields(s)
		if err != nil {
			return client.CacheOptionsEntry{}, err
		}
		if ref, ok := f[""]; ok {
			return client.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}}, nil
		}
		kind := f["type"]
		delete(f, "type")
		return client.CacheOptionsEntry{Type: kind, Attrs: f}, nil
	}
	for _, s := range o.cacheFrom {
		e, err := read(s)
		if err != nil {
			return err
		}
		opt.CacheImports = append(opt.CacheImports, e)
	}
	for _, s := range o.cacheTo {
		e, err := read(s)
		if err != nil {
			return err
		}
		opt.CacheExports = append(opt.CacheExports, e)
	}
	return nil
}

// addOutputs says what becomes of the result: Hull's image store unless something else is asked for.
func (o *options) addOutputs(opt *client.SolveOpt, stdout io.Writer) error {
	outputs := o.outputs
	if len(outputs) == 0 {
		outputs = []string{"type=image"}
	}
	for _, s := range outputs {
		f, err := fields(s)
		if err != nil {
			return err
		}
		if path, ok := f[""]; ok {
			f = map[string]string{"type": "local", "dest": path}
			if path == "-" {
				f["type"] = "tar"
			}
		}
		e := client.ExportEntry{Type: f["type"], Attrs: f}
		dest := f["dest"]
		delete(f, "type")
		delete(f, "dest")
		switch e.Type {
		case client.ExporterLocal:
			if dest == "" {
				return errors.New("--output type=local needs dest=")
			}
			e.OutputDir = dest
		case client.ExporterTar, client.ExporterOCI, client.ExporterDocker:
			if e.Type == client.ExporterDocker && dest == "" { // as with docker's own driver: the image store
				e.Type = client.ExporterImage
				break
			}
			e.Output = func(map[string]string) (io.WriteCloser, error) {
				if dest == "" || dest == "-" {
					return nopCloser{stdout}, nil
				}
				return os.Create(dest)
			}
		case "registry":
			e.Type, f["push"] = client.ExporterImage, "true"
		}
		if e.Type == client.ExporterImage && len(o.tags) > 0 && f["name"] == "" {
			f["name"] = strings.Join(o.tags, ",")
		}
		if (e.Type == client.ExporterOCI || e.Type == client.ExporterDocker) && len(o.tags) > 0 && f["name"] == "" {
			f["name"] = strings.Join(o.tags, ",")
		}
		opt.Exports = append(opt.Exports, e)
	}
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
