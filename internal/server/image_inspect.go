package server

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	types "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"

	"github.com/hull-dev/hull/internal/image"
)

// inspected is types.InspectResponse with what older versions had too.
type inspected struct {
	types.InspectResponse
	Config          any     `json:"Config"`
	VirtualSize     *int64  `json:"VirtualSize,omitempty"`     // before 1.44
	Parent          *string `json:"Parent,omitempty"`          // before 1.50, as the next four
	Container       *string `json:"Container,omitempty"`       //
	ContainerConfig any     `json:"ContainerConfig,omitempty"` //
	DockerVersion   *string `json:"DockerVersion,omitempty"`   //
	Comment         *string `json:"Comment,omitempty"`
	Author          *string `json:"Author,omitempty"`
}

// dockerConfig is what Docker's tools write into a config beyond the specification.
type dockerConfig struct {
	dockerspec.DockerOCIImage
	Comment         string          `json:"comment"`
	DockerVersion   string          `json:"docker_version"`
	Container       string          `json:"container"`
	Parent          string          `json:"parent"`
	ContainerConfig json.RawMessage `json:"container_config"`
}

func (s *Server) imageInspect(w http.ResponseWriter, r *request, name string) error {
	manifests := r.flag("manifests") && r.since(48)
	if manifests && r.FormValue("platform") != "" {
		return errdefs.ErrInvalidArgument.WithMessage("conflicting options: manifests and platform options cannot both be set")
	}
	img, err := s.image(r, name)
	if err != nil {
		return err
	}
	out, err := s.inspect(r, img)
	if err != nil {
		return err
	}
	if manifests {
		if out.Manifests, err = s.manifests(r.Context(), img); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) inspect(r *request, img *image.Image) (*inspected, error) {
	var c dockerConfig
	if err := json.Unmarshal(img.RawConfig, &c); err != nil {
		return nil, err
	}
	out := &inspected{InspectResponse: types.InspectResponse{
		ID:           string(img.ID),
		RepoTags:     []string{},
		RepoDigests:  []string{},
		Architecture: c.Architecture,
		Variant:      c.Variant,
		Os:           c.OS,
		OsVersion:    c.OSVersion,
		Size:         img.Size,
		GraphDriver:  &storage.DriverData{Name: s.facts.Snapshotter},
		RootFS:       types.RootFS{Type: "layers"},
		Metadata:     types.Metadata{LastTagTime: img.TaggedAt},
	}}
	if c.Created != nil {
		out.Created = c.Created.Format(time.RFC3339Nano)
	}
	for _, t := range img.Tags {
		out.RepoTags = append(out.RepoTags, t.Familiar())
	}
	for _, d := range img.Digests {
		out.RepoDigests = append(out.RepoDigests, d.Familiar())
	}
	for _, l := range img.Layers {
		out.RootFS.Layers = append(out.RootFS.Layers, string(l.Diff))
	}
	out.Config = c.Config
	out.InspectResponse.Comment, out.InspectResponse.Author = "", ""
	if r.since(48) {
		out.Descriptor = &img.Targets[0]
		if img.Chosen != nil {
			out.Descriptor = img.Chosen
		}
	}
	if n := len(c.History); c.Comment == "" && n > 0 {
		c.Comment = c.History[n-1].Comment
	}
	if c.Comment != "" || !r.since(50) {
		out.Comment = &c.Comment
	}
	if c.Author != "" || !r.since(50) {
		out.Author = &c.Author
	}
	if !r.since(44) {
		out.VirtualSize = &img.Size
	}
	if r.since(50) {
		return out, nil
	}
	out.Parent, out.DockerVersion = &c.Parent, &c.DockerVersion
	var err error
	if out.Config, err = legacyConfig(c.Config); err != nil {
		return nil, err
	}
	if !r.since(45) {
		out.Container = &c.Container
		out.ContainerConfig, err = legacyConfig(dockerspec.DockerOCIImageConfig{})
		if len(c.ContainerConfig) > 0 {
			out.ContainerConfig = c.ContainerConfig
		}
	}
	return out, err
}

// legacyFields are what an image's Config had before 1.50, though they say nothing of an image.
func legacyFields() map[string]any {
	return map[string]any{
		"AttachStderr": false, "AttachStdin": false, "AttachStdout": false, "Cmd": nil,
		"Domainname": "", "Entrypoint": nil, "Env": nil, "Hostname": "", "Image": "",
		"Labels": nil, "OnBuild": nil, "OpenStdin": false, "StdinOnce": false, "Tty": false,
		"User": "", "Volumes": nil, "WorkingDir": "",
	}
}

func legacyConfig(c dockerspec.DockerOCIImageConfig) (any, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	out := legacyFields()
	return out, json.Unmarshal(raw, &out)
}

func (s *Server) imageHistory(w http.ResponseWriter, r *request, name string) error {
	img, err := s.image(r, name)
	if err != nil {
		return err
	}
	out := []types.HistoryResponseItem{}
	for _, h := range img.History() {
		out = append(out, types.HistoryResponseItem{ID: h.ID, Created: seconds(h.Created), CreatedBy: h.CreatedBy, Comment: h.Comment, Size: h.Size, Tags: h.Tags})
	}
	return writeJSON(w, http.StatusOK, out)
}
