package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

// removalTime is how long a container that did not start may take to be removed.
const removalTime = 10 * time.Second

// exitStatus is how a container ended, or why that is not known.
type exitStatus struct {
	code    int
	failure error
}

// err is the end of hull for a status: none for 0.
func (s exitStatus) err() error {
	switch {
	case s.failure != nil:
		return statusError{125, fmt.Sprintf("error waiting for container: %v", s.failure)}
	case s.code != 0:
		return exitError(s.code)
	}
	return nil
}

func (a *App) containerWait(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	var errs []error
	for _, name := range args {
		path, err := containerPath(name)
		if err == nil {
			var s exitStatus
			if s, err = a.awaitEnd(ctx, path, ""); err == nil {
				fmt.Fprintln(a.Out, s.code)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// awaitEnd waits for a container; condition is the API's: "" for one that does not run,
// "next-exit", "removed".
func (a *App) awaitEnd(ctx context.Context, path, condition string) (exitStatus, error) {
	body, err := a.beginWait(ctx, path, condition)
	if err != nil {
		return exitStatus{}, err
	}
	return readStatus(body)
}

// beginWait returns as soon as the daemon has taken note that somebody waits.
func (a *App) beginWait(ctx context.Context, path, condition string) (io.ReadCloser, error) {
	q := url.Values{}
	if condition != "" {
		q.Set("condition", condition)
	}
	return a.client.do(ctx, call{method: "POST", path: path + "/wait", query: q})
}

func readStatus(body io.ReadCloser) (exitStatus, error) {
	defer body.Close()
	var answer struct {
		StatusCode int
		Error      *struct{ Message string }
	}
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&answer); err != nil {
		return exitStatus{}, fmt.Errorf("reading the exit status: %w", err)
	}
	s := exitStatus{code: answer.StatusCode}
	if answer.Error != nil && answer.Error.Message != "" {
		s.failure = errors.New(answer.Error.Message)
	}
	return s, nil
}

// waitExit begins to wait for the next end of a container, or for its removal, and returns where
// the status will come.
func (a *App) waitExit(ctx context.Context, id string, removed bool) <-chan exitStatus {
	if !a.client.has("1.30") {
		return a.watchExit(ctx, id, removed)
	}
	if removed {
		return a.startWait(ctx, "/containers/"+id, "removed")
	}
	return a.startWait(ctx, "/containers/"+id, "next-exit")
}

// startWait begins to wait before it returns. Daemons before 1.30 answer only when the container
// has ended, so there the wait begins in the background.
func (a *App) startWait(ctx context.Context, path, condition string) <-chan exitStatus {
	status := make(chan exitStatus, 1)
	finish := func(body io.ReadCloser, err error) {
		var s exitStatus
		if err == nil {
			s, err = readStatus(body)
		}
		if err != nil {
			s = exitStatus{failure: err}
		}
		status <- s
	}
	if !a.client.has("1.30") {
		go func() { finish(a.beginWait(ctx, path, "")) }()
		return status
	}
	body, err := a.beginWait(ctx, path, condition)
	go finish(body, err)
	return status
}

// awaitRemoval waits until the daemon has removed a container that did not start.
func (a *App) awaitRemoval(id string, status <-chan exitStatus) {
	select {
	case <-status:
	case <-time.After(removalTime):
		fmt.Fprintf(a.Err, "WARNING: container %s is still being removed\n", shortID(id))
	}
}
