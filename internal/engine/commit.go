package engine

import (
	"context"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

// CommitOptions of Commit.
type CommitOptions struct {
	Name            reference.Reference // the zero value for none
	Author, Comment string
	Changes         []string          // Dockerfile instructions
	Config          *container.Config // goes before the container's own; nil: none
	Pause           bool              // freeze the container meanwhile
}

// Commit makes an image of a container.
func (e *Engine) Commit(ctx context.Context, name string, o CommitOptions) (image.ID, error) {
	c, err := e.names.find(name)
	if err != nil {
		return "", err
	}
	v := c.view.Load()
	switch v.State.Phase {
	case Removing, Dead:
		return "", errdefs.ErrConflict.WithMessage("You cannot commit container " + string(c.id) + " which is being removed")
	case Running:
		if o.Pause {
			if err := e.Pause(ctx, string(c.id)); err != nil {
				return "", err
			}
			defer func() {
				if err := e.Unpause(context.WithoutCancel(ctx), string(c.id)); err != nil {
					e.log.Warn("a container stays paused after a commit", "container", c.id, "error", err)
				}
			}()
		}
	}
	cfg := *v.Config
	if o.Config != nil {
		cfg = *o.Config
		own := imageOf(v.Config)
		if err := merge(&cfg, &own); err != nil {
			return "", err
		}
	}
	id, err := e.opts.Images.Commit(ctx, image.CommitOptions{
		Parent: v.Image, Name: o.Name, Config: imageOf(&cfg), Changes: o.Changes, Author: o.Author, Comment: o.Comment,
		CreatedBy: strings.Join(append([]string{v.Path}, v.Args...), " "),
		Layer: func(ctx context.Context, w io.Writer) error {
			return e.opts.Roots.Diff(ctx, c.base, v.Dir, v.mountPoints(), w)
		},
	})
	if err != nil {
		return "", err
	}
	c.publish("commit", map[string]string{"comment": o.Comment, "imageID": string(id)})
	return id, nil
}

// imageOf is what an image keeps of a container's configuration.
func imageOf(c *container.Config) dockerspec.DockerOCIImageConfig {
	var out dockerspec.DockerOCIImageConfig
	out.User, out.Env, out.Entrypoint, out.Cmd, out.WorkingDir, out.Labels = c.User, c.Env, c.Entrypoint, c.Cmd, c.WorkingDir, c.Labels
	out.Volumes, out.StopSignal, out.ArgsEscaped = c.Volumes, c.StopSignal, c.ArgsEscaped
	out.Healthcheck, out.OnBuild, out.Shell = c.Healthcheck, c.OnBuild, c.Shell
	if len(c.ExposedPorts) > 0 {
		out.ExposedPorts = make(map[string]struct{}, len(c.ExposedPorts))
		for p := range c.ExposedPorts {
			out.ExposedPorts[p.String()] = struct{}{}
		}
	}
	return out
}
