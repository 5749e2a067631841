package image

import (
	"slices"
	"time"
)

// Step is one entry of an image's history.
type Step struct {
	ID        string // of the image for the newest, "<missing>" for the others
	Created   time.Time
	CreatedBy string
	Comment   string
	Size      int64
	Tags      []string
}

// History is what the config says about how the image came to be, the newest step first, with
// the sizes of layers.
func (i *Image) History() []Step {
	var out []Step
	layer := 0
	for _, h := range i.Config.History {
		step := Step{ID: "<missing>", CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			step.Created = *h.Created
		}
		if !h.EmptyLayer && layer < len(i.Layers) {
			step.Size = i.Layers[layer].Size
			layer++
		}
		out = append(out, step)
	}
	slices.Reverse(out)
	if len(out) > 0 {
		out[0].ID = string(i.ID)
		for _, t := range i.Tags {
			out[0].Tags = append(out[0].Tags, t.Familiar())
		}
	}
	return out
}

// Created is when the image says it was made; the zero time if it does not.
func (i *Image) Created() time.Time { return created(i.Config) }
