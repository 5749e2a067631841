package hulld

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/logfile"
)

// logs are the log drivers as the engine sees them.
type logs struct{}

func (logs) Config(v *engine.View) (c logfile.Config, err error) {
	c = logfile.Config{Driver: v.Host.LogConfig.Type, Dir: v.LogDir(), Name: "container.log", MaxSize: 20 << 20, MaxFiles: 5, Compress: true}
	switch c.Driver {
	case logfile.DriverNone, logfile.DriverLocal:
	case logfile.DriverJSONFile:
		c.Name = string(v.ID) + "-json.log"
	default:
		return c, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("logger: no log driver named '%s' is registered", c.Driver))
	}
	return c, nil
}

func (logs) Read(context.Context, logfile.Config, engine.LogQuery, func(logfile.Entry) error) error {
	return errdefs.ErrNotImplemented.WithMessage("logs cannot be read yet")
}
