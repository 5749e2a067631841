package build

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/util/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageExporter is BuildKit's image exporter, which writes manifests and layers into the content
// store, followed by Hull's image store, which unpacks the layers and sets the names: a built image
// can be run at once.
type imageExporter struct {
	exporter.Exporter
	w *builderWorker
}

// Resolve implements exporter.Exporter.
func (e *imageExporter) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	names, err := splitNames(attrs["name"])
	if err != nil {
		return nil, err
	}
	store := true
	if v, ok := attrs["store"]; ok && v != "" {
		if store, err = strconv.ParseBool(v); err != nil {
			return nil, fmt.Errorf("non-bool value specified for store: %w", err)
		}
	}
	own := maps.Clone(attrs)
	if own == nil {
		own = make(map[string]string)
	}
	own["store"] = "false" // BuildKit's own way of it
	delete(own, "unpack")
	delete(own, "dangling-name-prefix")
	inner, err := e.Exporter.Resolve(ctx, id, own)
	if err != nil {
		return nil, err
	}
	return &imageInstance{inner, e.w, attrs, names, store}, nil
}

type imageInstance struct {
	exporter.ExporterInstance
	w     *builderWorker
	attrs map[string]string
	names []string
	store bool
}

func (i *imageInstance) Attrs() map[string]string { return i.attrs }

// Export implements exporter.ExporterInstance.
func (i *imageInstance) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	resp, finalize, ref, err := i.ExporterInstance.Export(ctx, src, info)
	if err != nil || !i.store || ref == nil {
		return resp, finalize, ref, err
	}
	names := i.names
	if i.attrs["name"] == "*" {
		if names, err = splitNames(resp[exptypes.ExporterImageNameKey]); err != nil {
			return nil, nil, nil, release(ref, err)
		}
	}
	var target ocispec.Descriptor
	raw, err := base64.StdEncoding.DecodeString(resp[exptypes.ExporterImageDescriptorKey])
	if err == nil {
		err = json.Unmarshal(raw, &target)
	}
	if err != nil {
		return nil, nil, nil, release(ref, fmt.Errorf("reading what was exported: %w", err))
	}
	// The descriptor's annotations are BuildKit's own notes.
	target = ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
	words := "unpacking"
	if len(names) > 0 {
		words = "naming to " + strings.Join(names, ", ")
	}
	done := progress.OneOff(ctx, words)
	if err := done(i.w.b.c.Images.Adopt(ctx, target, names)); err != nil {
		return nil, nil, nil, release(ref, err)
	}
	return resp, finalize, ref, nil
}

// release ends the lease of what was exported.
func release(ref exporter.DescriptorReference, err error) error {
	_ = ref.Release()
	return err
}

func (i *imageInstance) Type() string { return client.ExporterImage }
