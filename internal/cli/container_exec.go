package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
)

// execBody is what POST /containers/ID/exec takes.
type execBody struct {
	User                                    string
	Privileged, Tty                         bool
	ConsoleSize                             *[2]uint `json:",omitempty"`
	AttachStdin, AttachStderr, AttachStdout bool
	Detach                                  bool
	DetachKeys                              string
	Env                                     []string
	WorkingDir                              string
	Cmd                                     []string
}

func (a *App) containerExec(ctx context.Context, args []string) error {
	o := newOptions()
	detachKeys := o.text("detach-keys", 0, "", "Override the key sequence for detaching a container")
	interactive := o.flag("interactive", 'i', "Keep STDIN open even if not attached")
	tty := o.flag("tty", 't', "Allocate a pseudo-TTY")
	detach := o.flag("detach", 'd', "Detached mode: run command in the background")
	user := o.text("user", 'u', "", `Username or UID (format: "<name|uid>[:<group|gid>]")`)
	privileged := o.flag("privileged", 0, "Give extended privileges to the command")
	env := o.checked("env", 'e', "Set environment variables", checkEnv)
	envFiles := o.list("env-file", 0, "Read in a file of environment variables")
	workdir := o.text("workdir", 'w', "", "Working directory inside the container")
	args, err := o.parse(args, true)
	if err != nil {
		return err
	}
	if err := a.need(args, 2, -1); err != nil {
		return err
	}
	text, keys, err := a.detachKeys(*detachKeys)
	if err != nil {
		return err
	}
	b := execBody{
		User: *user, Privileged: *privileged, Tty: *tty, Detach: *detach, DetachKeys: text, WorkingDir: *workdir, Cmd: args[1:],
		AttachStdin: *interactive && !*detach, AttachStdout: !*detach, AttachStderr: !*detach,
	}
	if b.Env, err = readPairs(*envFiles, *env, os.LookupEnv); err != nil {
		return err
	}
	path, err := containerPath(args[0])
	if err != nil {
		return err
	}
	// "no such container" comes before "no terminal", and an exec that is not started is left behind.
	if !*detach && b.AttachStdin && b.Tty && !isTerminal(a.In) {
		if err := a.client.get(ctx, call{method: "GET", path: path + "/json"}, nil); err != nil {
			return err
		}
		return a.checkTTY(b.AttachStdin, b.Tty)
	}
	if b.Tty {
		if err := a.client.agree(ctx); err != nil {
			return err
		}
		if a.client.has("1.42") {
			h, w := a.windowSize()
			b.ConsoleSize = &[2]uint{h, w}
		}
	}
	var made struct {
		ID string `json:"Id"`
	}
	if err := a.client.post(ctx, path+"/exec", nil, b, &made); err != nil {
		return err
	}
	if made.ID == "" {
		return errors.New("exec ID empty")
	}
	start := struct {
		Detach, Tty bool
		ConsoleSize *[2]uint `json:",omitempty"`
	}{*detach, b.Tty, b.ConsoleSize}
	if *detach {
		return a.client.post(ctx, "/exec/"+made.ID+"/start", nil, start, nil)
	}
	raw, err := json.Marshal(start)
	if err != nil {
		return err
	}
	conn, err := a.client.hijack(ctx, call{method: "POST", path: "/exec/" + made.ID + "/start", body: strings.NewReader(string(raw)), header: http.Header{"Content-Type": {"application/json"}}})
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &session{tty: b.Tty, keys: keys, raw: a.rawTerminal}
	if b.AttachStdin {
		s.in = a.In
	}
	s.out, s.err = a.outputs(true, true, b.Tty)
	if b.Tty && isTerminal(a.In) {
		sized, cancel := context.WithCancel(ctx)
		defer cancel()
		a.followSize(sized, "/exec/"+made.ID)
	}
	if err := s.run(ctx, conn); err != nil {
		return err
	}
	var ended struct{ ExitCode int }
	if err := a.client.get(ctx, call{method: "GET", path: "/exec/" + made.ID + "/json"}, &ended); err != nil {
		var gone *unreachableError
		if errors.As(err, &gone) {
			return exitError(255) // the daemon is gone, and with it the status
		}
		return err
	}
	if ended.ExitCode != 0 {
		return exitError(ended.ExitCode)
	}
	return nil
}
