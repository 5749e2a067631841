package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// globals are the options before the verb.
type globals struct {
	config, context, tlsCA, tlsCert, tlsKey *string
	hosts                                   *[]string
	version, tls, tlsVerify                 *bool
}

func (a *App) globals() (*options, *globals) {
	o := newOptions()
	dir, _ := configDir()
	certs := os.Getenv("DOCKER_CERT_PATH")
	if certs == "" {
		certs = dir
	}
	file := func(name string) string { return filepath.Join(certs, name) }
	g := &globals{
		config:  o.text("config", 0, "", "Location of client config files (default $DOCKER_CONFIG or ~/.docker)"),
		context: o.text("context", 'c', "", "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with \"hull context use\")"),
		hosts:   o.list("host", 'H', "Daemon socket to connect to"),
		version: o.flag("version", 'v', "Print version information and quit"),
		tls:     o.boolean("tls", 0, a.Env("DOCKER_TLS") != "", "Use TLS; implied by --tlsverify"),
		tlsCA:   o.text("tlscacert", 0, file("ca.pem"), "Trust certs signed only by this CA"),
		tlsCert: o.text("tlscert", 0, file("cert.pem"), "Path to TLS certificate file"),
		tlsKey:  o.text("tlskey", 0, file("key.pem"), "Path to TLS key file"),
	}
	g.tlsVerify = o.boolean("tlsverify", 0, a.Env("DOCKER_TLS_VERIFY") != "", "Use TLS and verify the remote")
	o.flag("debug", 'D', "Enable debug mode")
	o.value("log-level", 'l', "string", "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")", func(s string) error {
		switch s {
		case "debug", "info", "warn", "error", "fatal":
			return nil
		}
		return errors.New("unable to parse logging level: " + s)
	})
	return o, g
}

// endpoint is where a daemon listens.
type endpoint struct {
	host    string // as the user wrote it; empty for hulld's default socket
	network string // "unix", "tcp" or "ssh"
	address string
	ssh     *url.URL
	tls     *tls.Config
}

// connectTo makes the client for the daemon that options, environment and contexts name. With
// lenient, for the verbs that mend contexts, a context that cannot be used is no error.
func (a *App) connectTo(g *globals, lenient bool) error {
	if *g.config != "" {
		if err := os.Setenv("DOCKER_CONFIG", *g.config); err != nil {
			return err
		}
	}
	if *g.context != "" && len(*g.hosts) > 0 {
		return errors.New("conflicting options: cannot specify both --host and --context")
	}
	if len(*g.hosts) > 1 {
		return errors.New("Specify only one -H")
	}
	host, name := a.chosen(g)
	var e endpoint
	var err error
	if name != defaultContext {
		e, err = contextEndpoint(name)
	} else {
		if e, err = parseHost(host, *g.tls || *g.tlsVerify); err == nil && (*g.tls || *g.tlsVerify) && e.network == "tcp" {
			if !*g.tlsVerify {
				return errors.New("--tls alone takes any certificate of the daemon; hull checks it: use --tlsverify")
			}
			e.tls, err = clientTLS(*g.tlsCA, *g.tlsCert, *g.tlsKey)
		}
	}
	if err != nil && !lenient {
		return err
	}
	a.client = newClient(e)
	a.client.fixed = a.Env("DOCKER_API_VERSION")
	a.client.header = maps.Clone(a.settings().Headers)
	return a.customHeaders()
}

// customHeaders adds the headers that $DOCKER_CUSTOM_HEADERS has: NAME=VALUE fields of CSV.
func (a *App) customHeaders() error {
	value := a.Env("DOCKER_CUSTOM_HEADERS")
	if value == "" {
		return nil
	}
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return fmt.Errorf("failed to parse custom headers from DOCKER_CUSTOM_HEADERS environment variable: value must be formatted as comma-separated key=value pairs: %w", err)
	}
	if a.client.header == nil {
		a.client.header = make(map[string]string)
	}
	for _, f := range fields {
		name, v, ok := strings.Cut(f, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(f, "\r\n") {
			return fmt.Errorf("failed to set custom headers from DOCKER_CUSTOM_HEADERS environment variable: invalid value in %q: want name=value", f)
		}
		a.client.header[http.CanonicalHeaderKey(name)] = strings.TrimSpace(v)
	}
	return nil
}

// chosen is the host or the context to use, in Docker's order: --host, --context, the host in
// the environment, the context there, the current context.
func (a *App) chosen(g *globals) (host, name string) {
	env := a.Env("HULL_HOST")
	if env == "" {
		env = a.Env("DOCKER_HOST")
	}
	switch {
	case len(*g.hosts) > 0:
		return (*g.hosts)[0], defaultContext
	case *g.context != "" && *g.context != defaultContext:
		return "", *g.context
	case *g.context == defaultContext || env != "":
		return env, defaultContext
	case a.Env("DOCKER_CONTEXT") != "":
		return "", a.Env("DOCKER_CONTEXT")
	case a.settings().CurrentContext != "":
		return "", a.settings().CurrentContext
	}
	return "", defaultContext
}

// parseHost reads a daemon's address: unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST.
func parseHost(host string, secure bool) (endpoint, error) {
	host = strings.TrimSpace(host)
	if host == "" {
		return endpoint{network: "unix", address: strings.TrimPrefix(defaultHost, "unix://")}, nil
	}
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok {
		scheme, rest = "tcp", host
	}
	e := endpoint{host: scheme + "://" + rest, network: scheme, address: rest}
	switch scheme {
	case "unix":
		if rest == "" {
			e.address = strings.TrimPrefix(defaultHost, "unix://")
		}
		return e, nil
	case "tcp", "http", "https":
		e.network = "tcp"
		e.address, _, _ = strings.Cut(rest, "/")
		name, port, err := net.SplitHostPort(e.address)
		if err != nil {
			name, port = e.address, "2375"
			if secure {
				port = "2376"
			}
			name = strings.Trim(name, "[]")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return e, fmt.Errorf("invalid daemon address %q: %q is no port", host, port)
		}
		if name == "" {
			name = "localhost"
		}
		e.address = net.JoinHostPort(name, port)
		return e, nil
	case "ssh":
		u, err := url.Parse(host)
		if err == nil {
			err = checkSSH(u)
		}
		if err != nil {
			return e, fmt.Errorf("invalid daemon address %q: %w", host, err)
		}
		e.ssh = u
		return e, nil
	}
	return e, fmt.Errorf("unable to parse docker host `%s`: hull speaks to unix:///PATH, tcp://HOST:PORT and ssh://HOST", host)
}

// clientTLS trusts the given authority and shows the given certificate; files of the default
// names need not be there.
func clientTLS(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("reading the authority of the daemon's certificate: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the client's certificate: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// dial connects to a daemon that the user named.
func (e *endpoint) dial(ctx context.Context) (net.Conn, error) {
	if e.ssh != nil {
		return dialSSH(ctx, e.ssh)
	}
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	conn, err := d.DialContext(ctx, e.network, e.address)
	if err != nil || e.tls == nil {
		return conn, err
	}
	c := e.tls.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(e.address)
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}
