package image

import (
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// created is when the image says it was made; the zero time if it does not.
func created(c *ocispec.Image) time.Time {
	if c.Created == nil {
		return time.Time{}
	}
	return *c.Created
}
