package hulld

import (
	"context"
	"errors"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/logfile/options"
	"github.com/hull-dev/hull/internal/logfile/reader"
)

// logs are the log drivers as the engine sees them.
type logs struct{}

// Config implements engine.Logs.
func (logs) Config(v *engine.View) (logfile.Config, error) {
	file := "container"
	if v.Host.LogConfig.Type == logfile.DriverJSONFile {
		file = string(v.ID) + "-json.log"
	}
	c, err := options.Parse(v.Host.LogConfig.Type, v.Host.LogConfig.Config, options.Info{
		ID: string(v.ID), Name: v.Name, ImageID: string(v.Image), ImageName: v.Config.Image, Command: strings.Join(append([]string{v.Path}, v.Args...), " "),
		Daemon: "hull", Labels: v.Config.Labels, Env: v.Config.Env, Dir: v.LogDir(), File: file,
	})
	if err != nil {
		return c, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return c, nil
}

// Read implements engine.Logs.
func (logs) Read(ctx context.Context, c logfile.Config, q engine.LogQuery, f func(engine.LogEntry) error) error {
	err := reader.Read(ctx, c, reader.Query{Tail: q.Tail, Since: q.Since, Until: q.Until, Follow: q.Follow, Ended: q.Done}, func(e *reader.Entry) error {
		return f(engine.LogEntry{Entry: e.Entry, Attrs: e.Attrs})
	})
	if errors.Is(err, reader.ErrNotReadable) {
		return errdefs.ErrNotImplemented.WithMessage(err.Error())
	}
	return err
}

// Compress implements engine.Logs.
func (logs) Compress(ctx context.Context, c logfile.Config) error { return reader.Compress(ctx, c) }
