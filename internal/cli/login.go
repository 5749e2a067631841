package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/registry"
	"github.com/hull-dev/hull/internal/registry/dockerconfig"
)

// maxSecret bounds a password or token, in bytes.
const maxSecret = 64 << 10

// credential is what the API takes in X-Registry-Auth and in the body of /auth.
type credential struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	ServerAddress string `json:"serveraddress,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// credential reads a registry's credentials from Docker's config.json.
func (a *App) credential(ctx context.Context, domain string) (credential, error) {
	file, err := dockerconfig.Default()
	if err != nil {
		return credential{}, err
	}
	c, err := file.Credential(ctx, domain)
	if err != nil || c == (registry.Credential{}) {
		return credential{}, err
	}
	return credential{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken, ServerAddress: domain}, nil
}

func (a *App) login(ctx context.Context, args []string) error {
	o := newOptions()
	user := o.text("username", 'u', "", "Username")
	password := o.text("password", 'p', "", "Password or Personal Access Token (PAT)")
	fromInput := o.flag("password-stdin", 0, "Take the Password or Personal Access Token (PAT) from stdin")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 1 {
		return misused("login takes at most one server")
	}
	domain := serverDomain(args)
	switch {
	case *password != "" && *fromInput:
		return misused("--password and --password-stdin are mutually exclusive")
	case *password != "":
		fmt.Fprintln(a.Err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
	case *fromInput:
		if *user == "" {
			return misused("must provide --username with --password-stdin")
		}
		raw, err := io.ReadAll(io.LimitReader(a.In, maxSecret))
		if err != nil {
			return err
		}
		*password = strings.TrimRight(string(raw), "\r\n")
	default:
		if err := a.ask(user, password); err != nil {
			return err
		}
	}
	c := credential{Username: *user, Password: *password, ServerAddress: domain}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var answer struct{ Status, IdentityToken string }
	if err := a.client.get(ctx, call{method: "POST", path: "/auth", body: bytes.NewReader(raw)}, &answer); err != nil {
		return err
	}
	keep := registry.Credential{Username: c.Username, Password: c.Password}
	if answer.IdentityToken != "" {
		keep = registry.Credential{Username: c.Username, IdentityToken: answer.IdentityToken}
	}
	file, err := dockerconfig.Default()
	if err != nil {
		return err
	}
	if err := file.Store(ctx, domain, keep); err != nil {
		return fmt.Errorf("saving credentials: %w", err)
	}
	fmt.Fprintln(a.Out, answer.Status)
	return nil
}

func (a *App) logout(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 1 {
		return misused("logout takes at most one server")
	}
	domain := serverDomain(args)
	file, err := dockerconfig.Default()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Out, "Removing login credentials for", domain)
	return file.Erase(ctx, domain)
}

func serverDomain(args []string) string {
	if len(args) == 0 {
		return "docker.io"
	}
	s := strings.TrimPrefix(strings.TrimPrefix(args[0], "https://"), "http://")
	s, _, _ = strings.Cut(s, "/")
	if s == "index.docker.io" {
		return "docker.io"
	}
	return s
}

// ask reads what is missing from the terminal, the password without showing it.
func (a *App) ask(user, password *string) error {
	in, ok := a.In.(*os.File)
	if !ok || terminalWidth(in) == 0 {
		return errors.New("cannot perform an interactive login from a non TTY device")
	}
	r := bufio.NewReader(io.LimitReader(in, maxSecret))
	if *user == "" {
		fmt.Fprint(a.Out, "Username: ")
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		*user = strings.TrimSpace(line)
	}
	fmt.Fprint(a.Out, "Password: ")
	old, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	silent := *old
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &silent); err != nil {
		return err
	}
	line, err := r.ReadString('\n')
	restored := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, old)
	fmt.Fprintln(a.Out)
	*password = strings.TrimRight(line, "\r\n")
	return errors.Join(err, restored)
}
