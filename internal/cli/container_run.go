package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/hull-dev/hull/internal/reference"
)

func (a *App) containerRun(ctx context.Context, args []string) error {
	o := newOptions()
	detach := o.flag("detach", 'd', "Run container in background and print container ID")
	proxy := o.boolean("sig-proxy", 0, true, "Proxy received signals to the process")
	keys := o.text("detach-keys", 0, "", "Override the key sequence for detaching a container")
	r := newRunOptions(a, o)
	args, err := o.parse(args, true)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	body, err := a.createBody(ctx, r, args)
	if err != nil {
		return err
	}
	if *detach {
		if len(*r.attach) > 0 {
			return errors.New("conflicting options: cannot specify both --attach and --detach")
		}
		body.AttachStdin, body.AttachStdout, body.AttachStderr, body.StdinOnce = false, false, false, false
	} else if err := a.checkTTY(body.AttachStdin, body.Tty); err != nil {
		return err
	}
	text, keyBytes, err := a.detachKeys(*keys)
	if err != nil {
		return a.runError(125, err) // before there is a container
	}
	id, err := a.create(ctx, r, body)
	if err != nil {
		return a.startError(err)
	}
	if *proxy {
		defer a.forwardSignals(ctx, id, body.Tty)()
	}
	// From here on signals are the container's: hull ends when it does.
	return a.runCreated(context.WithoutCancel(ctx), id, body, *r.rm, text, keyBytes)
}

// runCreated attaches to a new container, starts it, and stays until it ends or the user
// detaches.
func (a *App) runCreated(ctx context.Context, id string, b *createBody, remove bool, text string, keys []byte) error {
	whole := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attach := b.AttachStdin || b.AttachStdout || b.AttachStderr
	var joined <-chan error
	if attach {
		conn, err := a.client.hijack(ctx, attachCall(id, b.AttachStdin, b.AttachStdout, b.AttachStderr, text))
		if err != nil {
			return err
		}
		defer conn.Close()
		s := &session{tty: b.Tty, keys: keys, raw: a.rawTerminal}
		if b.AttachStdin {
			s.in = a.In
		}
		s.out, s.err = a.outputs(b.AttachStdout, b.AttachStderr, b.Tty)
		joined = s.start(ctx, conn)
	} else {
		fmt.Fprintln(a.Out, id)
	}
	// A container that ends at once must not end before somebody waits.
	var status <-chan exitStatus
	if attach || remove {
		status = a.waitExit(ctx, id, remove)
	}
	if err := a.client.post(ctx, "/containers/"+id+"/start", nil, nil, nil); err != nil {
		if attach {
			cancel()
			<-joined // the terminal is as it was
		}
		switch {
		case remove && a.client.has("1.25"):
			a.awaitRemoval(id, status)
		case remove:
			err = errors.Join(err, a.client.get(whole, call{method: "DELETE", path: "/containers/" + id, query: url.Values{"v": {"1"}}}, nil))
		}
		return a.startError(err)
	}
	if !attach {
		return nil
	}
	if b.Tty && isTerminal(a.Out) {
		a.followSize(ctx, "/containers/"+id)
	}
	return a.attended(cancel, joined, status, b.AttachStdout || b.AttachStderr)
}

// attended waits until a container that hull is attached to ends, or the user detaches.
func (a *App) attended(cancel func(), joined <-chan error, status <-chan exitStatus, output bool) error {
	select {
	case err := <-joined:
		if errors.Is(err, errDetached) {
			return nil
		}
		if err != nil {
			return err
		}
		return (<-status).err()
	case s := <-status:
		if !output {
			cancel() // nothing is to be read to its end
		}
		<-joined
		return s.err()
	}
}

// attachCall is the call that joins a container's streams.
func attachCall(id string, stdin, stdout, stderr bool, keys string) call {
	q := url.Values{"stream": {"1"}}
	for name, on := range map[string]bool{"stdin": stdin, "stdout": stdout, "stderr": stderr} {
		if on {
			q.Set(name, "1")
		}
	}
	if keys != "" {
		q.Set("detachKeys", keys)
	}
	return call{method: "POST", path: "/containers/" + id + "/attach", query: q}
}

// startError gives an error of creating or starting its exit status: 127 for a command that is
// not there, 126 for one that cannot be run, 125 for everything else.
func (a *App) startError(err error) error {
	text := err.Error()
	status := 125
	switch {
	case strings.Contains(text, "executable file not found") || strings.Contains(text, "no such file or directory") || strings.Contains(text, "system cannot find the file specified"):
		status = 127
	case strings.Contains(text, "permission denied") || strings.Contains(text, "is a directory"):
		status = 126
	}
	return a.runError(status, err)
}

// pullImage gets an image for a new container; standard output is the container's, so progress
// goes to standard error.
func (a *App) pullImage(ctx context.Context, image, platform string, quiet bool) error {
	ref, err := reference.Parse(image)
	if err != nil {
		return err
	}
	ref = ref.WithDefaultTag()
	repo, tag := ref.Repository.String(), ref.Tag
	if ref.Digest != "" {
		tag = string(ref.Digest)
	}
	header, err := a.authHeader(ctx, repo)
	if err != nil {
		return err
	}
	q := url.Values{"fromImage": {repo}, "tag": {tag}}
	if platform != "" {
		q.Set("platform", strings.ToLower(platform))
	}
	body, err := a.client.do(ctx, call{method: "POST", path: "/images/create", query: q, header: header})
	if err != nil {
		return err
	}
	defer body.Close()
	show := *a
	show.Out = a.Err
	_, err = show.show(body, quiet)
	return err
}
