package server

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

// imageProbes show the answers about images and the system.
var imageProbes = []probe{
	{"GET", "/images/json", "/images/json?manifests=1&shared-size=1", ""},
	{"GET", "/images/{name}/json", "/images/x/json?manifests=1", ""},
	{"GET", "/images/{name}/history", "/images/x/history", ""},
	{"DELETE", "/images/{name}", "/images/x", ""},
	{"POST", "/images/prune", "/images/prune", ""},
	{"GET", "/info", "/info", ""},
	{"GET", "/version", "/version", ""},
	{"GET", "/events", "/events?since=1&until=" + fmt.Sprint(time.Now().Unix()-10), ""},
	{"GET", "/system/df", "/system/df?verbose=1", ""},
	{"GET", "/distribution/{name}/json", "/distribution/x/json", ""},
	{"POST", "/auth", "/auth", `{"username":"u","password":"p","serveraddress":"r.example"}`},
}

func richFake() *fake {
	f := &fake{rich: true}
	f.bus.Publish(events.Event{Type: events.Image, Action: "tag", Time: time.Now().Add(-time.Minute), Actor: events.Actor{ID: "a", Attributes: map[string]string{"name": "x"}}})
	return f
}

// full is an image with a value in each field.
func full() *image.Image {
	img := one()
	ref, err := reference.Parse("x:1")
	if err != nil {
		panic(err)
	}
	img.Tags = []reference.Reference{ref}
	ref, err = reference.Parse("x@" + digest.FromString("target").String())
	if err != nil {
		panic(err)
	}
	img.Digests = []reference.Reference{ref}
	img.TaggedAt = time.Now()
	platform := ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7", OSVersion: "1", OSFeatures: []string{"f"}}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("target"), Size: 5, URLs: []string{"u"}, Annotations: map[string]string{"a": "b"}, Data: []byte("d"), Platform: &platform, ArtifactType: "t"}
	img.Targets = []ocispec.Descriptor{desc}
	img.Config.Config.Labels = map[string]string{"l": "1"}
	img.Config.History = []ocispec.History{{CreatedBy: "x", Comment: "c"}}
	img.Layers = []image.Layer{{Diff: image.DiffID(digest.FromString("diff"))}}
	img.RawConfig = []byte(`{"os":"linux","os.version":"1","architecture":"arm","variant":"v7","author":"a","comment":"c","created":"2024-01-02T03:04:05Z",
		"config":{"User":"u","ExposedPorts":{"1/tcp":{}},"Env":["A=1"],"Cmd":["x"],"Healthcheck":{"Test":["CMD"],"Interval":1,"Timeout":1,"Retries":1,"StartPeriod":1,"StartInterval":1},
		"ArgsEscaped":true,"Volumes":{"/v":{}},"WorkingDir":"/","Entrypoint":["e"],"OnBuild":["RUN x"],"Labels":{"l":"1"},"StopSignal":"TERM","Shell":["sh"]},"rootfs":{"type":"layers","diff_ids":["x"]}}`)
	return img
}

func (f *fake) FindFor(_ context.Context, name string, p ocispec.Platform) (*image.Image, error) {
	f.note("find %s for %s/%s", name, p.OS, p.Architecture)
	return one(), f.fail
}

func (f *fake) Manifests(_ context.Context, img *image.Image) ([]image.ManifestInfo, error) {
	desc := img.Targets[0]
	return []image.ManifestInfo{
		{Descriptor: desc, Available: true, Kind: image.KindImage, Content: 10, Unpacked: 20, Platform: ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7", OSVersion: "1", OSFeatures: []string{"f"}}},
		{Descriptor: desc, Kind: image.KindAttestation, For: desc.Digest},
	}, f.fail
}

func (f *fake) RemovePlatforms(_ context.Context, name string, want []ocispec.Platform) ([]image.Removed, error) {
	f.note("remove %d platforms of %s", len(want), name)
	return []image.Removed{{Deleted: "m"}}, f.fail
}

func (f *fake) Prune(context.Context, func(*image.Image) bool) ([]image.Removed, int64, error) {
	return []image.Removed{{Untagged: "a"}, {Deleted: "b"}}, 5, f.fail
}

func (f *fake) Distribution(context.Context, reference.Reference, image.Credentials) (ocispec.Descriptor, []ocispec.Platform, error) {
	desc := full().Targets[0]
	return desc, []ocispec.Platform{*desc.Platform}, f.fail
}

func (f *fake) Login(context.Context, string, image.Credentials) (string, error) {
	return "token", f.fail
}

func (f *fake) Load(_ context.Context, r io.Reader, want []ocispec.Platform, _ image.Report) error {
	data, err := io.ReadAll(r)
	f.note("load %d %s", len(want), strings.TrimSpace(string(data)))
	return err
}

func (f *fake) Save(_ context.Context, names []string, want []ocispec.Platform) (*image.Archive, error) {
	f.note("save %v %d", names, len(want))
	return nil, fmt.Errorf("the end of the test")
}

func (f *fake) PushAll(_ context.Context, repo reference.Repository, _ image.PushOptions) error {
	f.note("push all %s", repo)
	return f.fail
}
