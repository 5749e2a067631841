package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// remoteDial is what the other host runs: its hull, else its docker, joins standard input and
// output to its daemon.
const remoteDial = "if command -v hull >/dev/null 2>&1; then exec hull system dial-stdio; else exec docker system dial-stdio; fi"

// checkSSH refuses what ssh would take as an option, and parts that have no meaning here.
func checkSSH(u *url.URL) error {
	switch {
	case u.Hostname() == "":
		return errors.New("no host")
	case strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-"):
		return errors.New("host and user must not begin with a dash")
	case u.Path != "" && u.Path != "/":
		return errors.New("a path has no meaning with ssh")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("extra query or fragment")
	}
	if _, ok := u.User.Password(); ok {
		return errors.New("plain-text password is not supported")
	}
	return nil
}

// sshConn is the connection that a running ssh gives.
type sshConn struct {
	io.ReadCloser // its standard output
	in            io.WriteCloser
	cmd           *exec.Cmd
	said          *head
}

// dialSSH runs ssh, whose settings (keys, ports, jumps) are the user's own.
func dialSSH(ctx context.Context, u *url.URL) (net.Conn, error) {
	args := []string{"-o", "ConnectTimeout=30", "-T"}
	if name := u.User.Username(); name != "" {
		args = append(args, "-l", name)
	}
	if port := u.Port(); port != "" {
		args = append(args, "-p", port)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "ssh", append(args, "--", u.Hostname(), remoteDial)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := &head{max: 4096}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting ssh: %w", err)
	}
	return &sshConn{ReadCloser: out, in: in, cmd: cmd, said: said}, nil
}

func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n == 0 && err == io.EOF {
		if said := c.said.text(); said != "" {
			return 0, fmt.Errorf("ssh ended the connection: %s", clean(said))
		}
	}
	return n, err
}

func (c *sshConn) Write(p []byte) (int, error) { return c.in.Write(p) }
func (c *sshConn) CloseWrite() error           { return c.in.Close() }

func (c *sshConn) Close() error {
	err := errors.Join(c.in.Close(), c.ReadCloser.Close())
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (c *sshConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "ssh"} }
func (c *sshConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "ssh"} }
func (c *sshConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *sshConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *sshConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
