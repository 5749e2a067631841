package manifest

import (
	"encoding/json"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/reference"
)

// ParseConfig reads an image config: at most MaxSize bytes, unambiguous as a manifest is, with a root file system of
// layers whose diffIDs are digests. A caller that wants Docker's further fields may decode raw again: after ParseConfig
// every parser reads it alike. What a config asks for (user, environment, labels) is data, not an order (R8).
func ParseConfig(raw []byte) (*ocispec.Image, error) {
	if len(raw) > MaxSize {
		return nil, invalid("the image config has %d bytes, the limit is %d", len(raw), MaxSize)
	}
	if err := checkJSON(raw, nil, mapsOfConfigs); err != nil {
		return nil, invalid("the image config is not valid: %v", err)
	}
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, invalid("the image config is not valid: %v", plainJSON(err))
	}
	if c.RootFS.Type != "" && c.RootFS.Type != "layers" {
		return nil, invalid("the image config's rootfs is of the type %.80q, want layers", c.RootFS.Type)
	}
	if n := len(c.RootFS.DiffIDs); n > MaxLayers {
		return nil, invalid("the image config has %d diffIDs, the limit is %d", n, MaxLayers)
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := reference.CheckDigest(d); err != nil {
			return nil, invalid("a diffID of the image config: %v", err)
		}
	}
	return &c, nil
}
