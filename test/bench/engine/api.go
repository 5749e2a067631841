package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// api is a client of hulld that keeps its connections.
type api struct{ http.Client }

func newAPI(socket string) *api {
	return &api{http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
}

// call makes a request; into, when not nil, is filled with what comes back.
func (a *api) call(method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "http://hulld/v1.51"+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, data)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

// create makes a container and returns its id.
func (a *api) create(remove bool, argv ...string) (string, error) {
	var made struct{ ID string }
	err := a.call("POST", "/containers/create", map[string]any{"Image": "busybox", "Cmd": argv,
		"HostConfig": map[string]any{"NetworkMode": "none", "AutoRemove": remove}}, &made)
	return made.ID, err
}

func apiStart(b *bench, e *engine) (s sample, err error) {
	begun := time.Now()
	id, err := b.api.create(false, "sleep", "1000")
	if err == nil {
		err = b.api.call("POST", "/containers/"+id+"/start", nil, nil)
	}
	s.wall = time.Since(begun)
	if err == nil {
		err = b.api.call("DELETE", "/containers/"+id+"?force=1", nil, nil)
	}
	return s, err
}

func apiRun(b *bench, e *engine) (s sample, err error) {
	begun := time.Now()
	id, err := b.api.create(true, "true")
	if err != nil {
		return s, err
	}
	gone := make(chan error, 1)
	go func() { gone <- b.api.call("POST", "/containers/"+id+"/wait?condition=removed", nil, nil) }()
	if err = b.api.call("POST", "/containers/"+id+"/start", nil, nil); err == nil {
		err = <-gone
	}
	s.wall = time.Since(begun)
	return s, err
}

func apiExec(b *bench, e *engine) (s sample, err error) {
	id, err := e.target()
	if err != nil {
		return s, err
	}
	begun := time.Now()
	var made struct{ ID string }
	if err = b.api.call("POST", "/containers/"+id+"/exec", map[string]any{"Cmd": []string{"true"}, "AttachStdout": true, "AttachStderr": true}, &made); err != nil {
		return s, err
	}
	// The stream ends with the process. It is a connection of its own, as with every client.
	c, err := net.Dial("unix", e.socket)
	if err != nil {
		return s, err
	}
	defer c.Close()
	if _, err = fmt.Fprintf(c, "POST /v1.51/exec/%s/start HTTP/1.1\r\nHost: hulld\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}", made.ID); err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	s.wall = time.Since(begun)
	return s, err
}

func apiStop(b *bench, e *engine) (s sample, err error) {
	id, err := trapping(e)
	if err != nil {
		return s, err
	}
	begun := time.Now()
	err = b.api.call("POST", "/containers/"+id+"/stop", nil, nil)
	s.wall = time.Since(begun)
	if err == nil {
		err = b.api.call("DELETE", "/containers/"+id, nil, nil)
	}
	return s, err
}

func apiList(b *bench, e *engine) (s sample, err error) {
	begun := time.Now()
	err = b.api.call("GET", "/containers/json", nil, nil)
	s.wall = time.Since(begun)
	return s, err
}
