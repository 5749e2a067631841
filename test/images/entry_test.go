package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// payload is an archive from outside, as one layer of an image: size bytes of open. The digest need not be
// the one of these bytes.
type payload struct {
	open         func() io.Reader
	size         int64
	digest, diff string // hex of SHA-256; diff of the uncompressed bytes
	mediaType    string
}

// payloadOf describes bytes truly: an accepted layer must have the right diffID. Bytes that cannot be decompressed
// have none; that is not what they must be refused for.
func payloadOf(data []byte) payload {
	p := payload{open: func() io.Reader { return bytes.NewReader(data) }, size: int64(len(data)), digest: sum(data), diff: sum(data), mediaType: layerTar}
	var r io.Reader
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		p.mediaType = layerTar + "+gzip"
		if z, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			r = z
		}
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")), len(data) > 4 && string(data[1:4]) == "\x2a\x4d\x18":
		p.mediaType = layerTar + "+zstd"
		if z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(1<<30)); err == nil {
			defer z.Close()
			r = z
		}
	}
	if r != nil {
		if plain, err := io.ReadAll(io.LimitReader(r, 64<<20)); err == nil {
			p.diff = sum(plain)
		}
	}
	return p
}

const layerTar = "application/vnd.oci.image.layer.v1.tar"

// documents are the config and the manifest of an image of one layer.
func (p payload) documents() (config, manifest []byte) {
	config = encode(map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + p.diff}}})
	manifest = encode(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:" + sum(config), "size": len(config)},
		"layers": []any{map[string]any{"mediaType": p.mediaType, "digest": "sha256:" + p.digest, "size": p.size}}})
	return config, manifest
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, strings and numbers
	}
	return raw
}

// entryPoint is a way by which an archive comes in. Those of `cp` and ADD belong here when they are there: they take
// no whiteouts.
type entryPoint struct {
	name string
	send func(d *daemon, reg *shelf, p payload) error
}

var entryPoints = []entryPoint{
	{"pull", func(d *daemon, reg *shelf, p payload) error {
		reg.put(p)
		return d.post("/images/create?"+url.Values{"fromImage": {reg.host + "/case"}, "tag": {"1"}}.Encode(), nil)
	}},
	{"load", func(d *daemon, _ *shelf, p payload) error {
		config, _ := p.documents()
		manifest := encode([]any{map[string]any{"Config": "c.json", "RepoTags": []string{"case:1"}, "Layers": []string{"l/layer.tar"}}})
		return d.post("/images/load", outer(member{"c.json", config}, member{"manifest.json", manifest}, member{"l/layer.tar", p}))
	}},
	{"load of an OCI layout", func(d *daemon, _ *shelf, p payload) error { return d.post("/images/load", p.layout()) }},
	{"import", func(d *daemon, _ *shelf, p payload) error {
		return d.post("/images/create?"+url.Values{"fromSrc": {"-"}, "repo": {"case"}, "tag": {"1"}}.Encode(), io.LimitReader(p.open(), p.size))
	}},
}

// member of an archive of images: content is []byte or a payload.
type member struct {
	name    string
	content any
}

// outer is the archive of images as a stream.
func outer(members ...member) io.Reader {
	var parts []io.Reader
	for _, m := range members {
		var size int64
		var data io.Reader
		switch c := m.content.(type) {
		case []byte:
			size, data = int64(len(c)), bytes.NewReader(c)
		case payload:
			size, data = c.size, io.LimitReader(c.open(), c.size)
		}
		var head bytes.Buffer
		w := tar.NewWriter(&head)
		if err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o644, Size: size, Format: tar.FormatGNU}); err != nil {
			panic(err) // into memory, of constants
		}
		parts = append(parts, &head, data, bytes.NewReader(make([]byte, -size&511)))
	}
	return io.MultiReader(append(parts, bytes.NewReader(make([]byte, 1024)))...)
}

// layout is an OCI layout of the image.
func (p payload) layout() io.Reader {
	config, manifest := p.documents()
	index := encode(map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + sum(manifest), "size": len(manifest),
		"annotations": map[string]string{"io.containerd.image.name": "docker.io/library/case:1"}}}})
	return outer(member{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, member{"index.json", index},
		member{"blobs/sha256/" + sum(config), config}, member{"blobs/sha256/" + sum(manifest), manifest}, member{"blobs/sha256/" + p.digest, p})
}

// post sends a request to the engine, and returns its error, whether it comes as a status or in the stream.
func (d *daemon) post(path string, body io.Reader) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.socket)
	}}}
	resp, err := client.Post("http://engine"+path, "application/x-tar", body)
	if err != nil {
		return fmt.Errorf("the request broke: %w", err)
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var line struct{ Error, Message string }
		switch err := dec.Decode(&line); {
		case err == io.EOF && resp.StatusCode < 300:
			return nil
		case err != nil:
			return fmt.Errorf("the answer broke (%s): %w", resp.Status, err)
		case line.Error != "":
			return errors.New(line.Error)
		case line.Message != "" && resp.StatusCode >= 300:
			return errors.New(line.Message)
		}
	}
}

// shelf is a registry of one image, which anybody can pull.
type shelf struct {
	host             string
	p                payload
	config, manifest []byte
}

func startShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.host = strings.TrimPrefix(srv.URL, "http://")
	return s
}

// put makes a payload the image; nothing may be pulled meanwhile.
func (s *shelf) put(p payload) {
	s.p = p
	s.config, s.manifest = p.documents()
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; {
	case r.URL.Path == "/v2/":
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = w.Write(s.manifest)
	case name == "sha256:"+sum(s.config):
		_, _ = w.Write(s.config)
	case name == "sha256:"+s.p.digest:
		w.Header().Set("Content-Length", fmt.Sprint(s.p.size))
		_, _ = io.Copy(w, io.LimitReader(s.p.open(), s.p.size))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}
