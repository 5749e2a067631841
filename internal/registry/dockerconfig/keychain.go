package dockerconfig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/registry"
)

// Bounds of a helper. It may ask a person for a password, hence the time.
const (
	helperTime   = time.Minute
	helperOutput = 64 << 10 // bytes
	maxName      = 64
)

// tokenUser is the user name by which helpers say that the secret is an identity token.
const tokenUser = "<token>"

// notFound is what helpers print when they have nothing; they end with status 1 as for errors.
const notFound = "credentials not found in native keychain"

// helper is the NAME of docker-credential-NAME.
type helper string

// answer is the document of get and store.
type answer struct {
	ServerURL string
	Username  string
	Secret    string
}

func (h helper) get(ctx context.Context, key string) (registry.Credential, error) {
	out, err := h.run(ctx, "get", []byte(key))
	if err != nil {
		if strings.TrimSpace(string(out)) == notFound {
			return registry.Credential{}, nil
		}
		return registry.Credential{}, err
	}
	var a answer
	if json.Unmarshal(out, &a) != nil {
		return registry.Credential{}, fmt.Errorf("credential helper docker-credential-%s answered with something that cannot be read: %w", h, errdefs.ErrFailedPrecondition)
	}
	if a.Username == tokenUser {
		return registry.Credential{IdentityToken: a.Secret}, nil
	}
	return registry.Credential{Username: a.Username, Password: a.Secret}, nil
}

func (h helper) store(ctx context.Context, key string, c registry.Credential) error {
	a := answer{ServerURL: key, Username: c.Username, Secret: c.Password}
	if c.IdentityToken != "" {
		a.Username, a.Secret = tokenUser, c.IdentityToken
	}
	in, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = h.run(ctx, "store", in)
	return err
}

func (h helper) erase(ctx context.Context, key string) error {
	out, err := h.run(ctx, "erase", []byte(key))
	if err != nil && strings.TrimSpace(string(out)) == notFound {
		return nil
	}
	return err
}

// run runs the helper with one action. Its output comes back also with an error, for notFound; the error does not have it.
func (h helper) run(ctx context.Context, action string, in []byte) ([]byte, error) {
	path, err := h.find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, action)
	cmd.Env = environment()
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(in)
	out := &bounded{}
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold the pipe
	err = cmd.Run()
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return nil, fmt.Errorf("credential helper %s did not end within %s: %w", filepath.Base(path), helperTime, errdefs.ErrUnavailable)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case out.full:
		return nil, fmt.Errorf("credential helper %s printed more than %d bytes: %w", filepath.Base(path), helperOutput, errdefs.ErrFailedPrecondition)
	case err != nil:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return out.b.Bytes(), fmt.Errorf("credential helper %s %s ended with %s: %w", filepath.Base(path), action, exit.ProcessState, errdefs.ErrFailedPrecondition)
		}
		return nil, fmt.Errorf("running credential helper %s: %w", filepath.Base(path), err)
	}
	return out.b.Bytes(), nil
}

// find looks the program up in PATH and checks whose it is.
func (h helper) find() (string, error) {
	if h == "" || len(h) > maxName || strings.Trim(string(h), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return "", fmt.Errorf("credential helper name %.70q is not of letters, digits, '-' and '_': %w", string(h), errdefs.ErrInvalidArgument)
	}
	name := "docker-credential-" + string(h)
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("credential helper %s is not in PATH: %w", name, errdefs.ErrFailedPrecondition)
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(p)
		if err != nil {
			return "", fmt.Errorf("credential helper %s: %w", name, err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return "", fmt.Errorf("credential helper %s: %s belongs to neither root nor this user: %w", name, p, errdefs.ErrPermissionDenied)
		}
		if info.Mode()&0o022 != 0 && !(info.IsDir() && info.Mode()&fs.ModeSticky != 0) {
			return "", fmt.Errorf("credential helper %s: %s can be written by others: %w", name, p, errdefs.ErrPermissionDenied)
		}
	}
	return path, nil
}

// environment is what helpers need: where to find programs, the user's files and session bus, and the settings of those of the
// large clouds. The rest of a daemon's environment is none of theirs (R17).
func environment() []string {
	var out []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
			"GNUPGHOME", "GPG_TTY", "PASSWORD_STORE_DIR", "DOCKER_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
			"GOOGLE_APPLICATION_CREDENTIALS":
			out = append(out, kv)
		default:
			if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "CLOUDSDK_") || strings.HasPrefix(name, "AZURE_") {
				out = append(out, kv)
			}
		}
	}
	return out
}

// bounded keeps the first helperOutput bytes and refuses more, which ends the helper by SIGPIPE.
type bounded struct {
	b    bytes.Buffer
	full bool
}

// Write implements io.Writer.
func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > helperOutput {
		w.full = true
		return 0, errors.New("too much output")
	}
	return w.b.Write(p)
}
