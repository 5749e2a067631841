package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/image"
)

// reserved begins labels that Hull gives a meaning. An image cannot set them (SECURITY.md R8).
const reserved = "hull."

// Limits of what a request may hold: far above what anybody uses, far below what hurts.
const (
	maxWords = 1 << 20 // bytes of command, environment, labels each
)

// imageConfig is an image's part of a configuration, Docker's extensions included.
func imageConfig(img *image.Image) (*dockerspec.DockerOCIImageConfig, error) {
	var c struct {
		Config dockerspec.DockerOCIImageConfig `json:"config"`
	}
	if err := json.Unmarshal(img.RawConfig, &c); err != nil {
		return nil, fmt.Errorf("reading the configuration of image %s: %w", img.ID.Short(), err)
	}
	return &c.Config, nil
}

// merge fills in what a request leaves open from the image, as Docker does.
func merge(c *container.Config, img *dockerspec.DockerOCIImageConfig) error {
	if c.User == "" {
		c.User = img.User
	}
	for p := range img.ExposedPorts {
		port, err := network.ParsePort(p)
		if err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the image exposes %q: %v", p, err))
		}
		if c.ExposedPorts == nil {
			c.ExposedPorts = network.PortSet{}
		}
		c.ExposedPorts[port] = struct{}{}
	}
	c.Env = mergeEnv(c.Env, img.Env)
	labels := make(map[string]string, len(img.Labels)+len(c.Labels))
	for k, v := range img.Labels {
		if !strings.HasPrefix(k, reserved) {
			labels[k] = v
		}
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd, c.ArgsEscaped = slices.Clone(img.Cmd), img.ArgsEscaped
		}
		if c.Entrypoint == nil {
			c.Entrypoint = slices.Clone(img.Entrypoint)
		}
	}
	mergeHealth(c, img.Healthcheck)
	if c.WorkingDir == "" {
		c.WorkingDir = img.WorkingDir
	}
	for path := range img.Volumes {
		if c.Volumes == nil {
			c.Volumes = make(map[string]struct{})
		}
		c.Volumes[path] = struct{}{}
	}
	if c.StopSignal == "" {
		c.StopSignal = img.StopSignal
	}
	// An entry point of one empty word stands for none, and keeps the image's away.
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil
	}
	if len(c.Entrypoint) == 0 && len(c.Cmd) == 0 {
		return errdefs.ErrInvalidArgument.WithMessage("no command specified")
	}
	return checkSize(c)
}

// mergeEnv adds an image's variables that the request does not have.
func mergeEnv(env, img []string) []string {
	have := make(map[string]bool, len(env))
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		have[name] = true
	}
	for _, e := range img {
		if name, _, _ := strings.Cut(e, "="); !have[name] {
			env = append(env, e)
		}
	}
	return env
}

func mergeHealth(c *container.Config, img *container.HealthConfig) {
	if img == nil {
		return
	}
	if c.Healthcheck == nil {
		h := *img
		c.Healthcheck = &h
		return
	}
	h := c.Healthcheck
	if len(h.Test) == 0 {
		h.Test = img.Test
	}
	if h.Interval == 0 {
		h.Interval = img.Interval
	}
	if h.Timeout == 0 {
		h.Timeout = img.Timeout
	}
	if h.StartPeriod == 0 {
		h.StartPeriod = img.StartPeriod
	}
	if h.StartInterval == 0 {
		h.StartInterval = img.StartInterval
	}
	if h.Retries == 0 {
		h.Retries = img.Retries
	}
}

// checkSize bounds what is kept of a configuration.
func checkSize(c *container.Config) error {
	labels := 0
	for k, v := range c.Labels {
		labels += len(k) + len(v)
	}
	for what, words := range map[string]int{
		"command": size(c.Entrypoint) + size(c.Cmd), "environment": size(c.Env), "labels": labels,
	} {
		if words > maxWords {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the container's %s is %d bytes long, at most %d are taken", what, words, maxWords))
		}
	}
	return nil
}

func size(words []string) (n int) {
	for _, w := range words {
		n += len(w) + 1
	}
	return n
}

// program splits a merged configuration's command.
func program(c *container.Config) (path string, args []string) {
	words := slices.Concat(c.Entrypoint, c.Cmd)
	return words[0], words[1:]
}
