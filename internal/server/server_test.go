package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
	"github.com/hull-dev/hull/internal/volume"
)

// unset is what fake does not have.
type unset = Images

// fake has one image and remembers what it was asked. What a test does not set panics.
type fake struct {
	unset
	asked []string
	fail  error
	late  bool // fail after the first progress
	bus   events.Bus
	rich  bool // images have everything (coverage_image_test.go)
}

func (f *fake) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func one() *image.Image {
	at := time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC)
	c := ocispec.Image{Created: &at, Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	return &image.Image{
		ID: image.ID(digest.FromString("one")), Config: &c, RawConfig: []byte(`{"os":"linux","architecture":"amd64","config":{"Cmd":["x"]},"rootfs":{}}`),
		Targets: []ocispec.Descriptor{{Digest: digest.FromString("target"), Size: 5, MediaType: ocispec.MediaTypeImageManifest}}, Size: 42,
	}
}

func (f *fake) Images(context.Context) ([]*image.Image, error) {
	return []*image.Image{f.one()}, f.fail
}

func (f *fake) one() *image.Image {
	if f.rich {
		return full()
	}
	return one()
}

func (f *fake) Find(_ context.Context, name string) (*image.Image, error) {
	f.note("find %s", name)
	return f.one(), f.fail
}

func (f *fake) Pull(_ context.Context, ref reference.Reference, o image.PullOptions) (*image.Image, error) {
	f.note("pull %s as %s %s", ref, o.Auth.Username, o.Auth)
	if f.late || f.fail == nil {
		o.Report(image.Progress{ID: "abc", Status: "Downloading", Current: 5, Total: 10})
	}
	return nil, f.fail
}

func (f *fake) PullAll(_ context.Context, repo reference.Repository, _ image.PullOptions) error {
	f.note("pull all %s", repo)
	return f.fail
}

func (f *fake) Push(_ context.Context, ref reference.Reference, _ image.PushOptions) error {
	f.note("push %s", ref)
	return f.fail
}

func (f *fake) Download(_ context.Context, url string) (io.ReadCloser, int64, error) {
	f.note("download %s", url)
	return io.NopCloser(strings.NewReader("the archive")), -1, f.fail
}

func (f *fake) Import(_ context.Context, r io.Reader, o image.ImportOptions) (image.ID, error) {
	data, err := io.ReadAll(r)
	f.note("import %s: %s", o.Source, data)
	return "the ID", err
}

func (f *fake) Tag(_ context.Context, source string, ref reference.Reference) error {
	f.note("tag %s %s", source, ref)
	return f.fail
}

func (f *fake) Remove(_ context.Context, name string, o image.RemoveOptions) ([]image.Removed, error) {
	f.note("remove %s %v", name, o.Force)
	return []image.Removed{{Untagged: "a"}, {Deleted: "b"}}, f.fail
}

func (f *fake) Usage([]*image.Image) image.Usage { return image.Usage{Layers: 42} }

func ask(t *testing.T, f *fake, method, target string, header http.Header) (int, string, http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(""))
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	New(f, nobody{}, novolumes{}, nil, &f.bus, Facts{Version: "1", Snapshotter: "fake"}, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, strings.TrimSpace(string(body)), w.Header()
}

// novolumes has no volumes.
type novolumes struct{ Volumes }

func (novolumes) List(volume.Filter) []volume.Volume { return nil }

// nobody has no containers.
type nobody struct{ Containers }

func (nobody) List(context.Context, engine.ListOptions) ([]*engine.View, error) { return nil, nil }

func (nobody) Views() []*engine.View { return nil }

func (nobody) Find(name string) (*engine.View, error) {
	return nil, errdefs.ErrNotFound.WithMessage("No such container: " + name)
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/_ping", "OK", 200},
		{"/v1.24/_ping", "OK", 200},
		{"/v1.56/_ping", "OK", 200},
		{"/v1.57/_ping", `{"message":"client version 1.57 is too new. Maximum supported API version is 1.56"}`, 400},
		{"/v1.23/_ping", `{"message":"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"}`, 400},
		{"/v1.x/_ping", `{"message":"page not found"}`, 404},
		{"/v2.0/_ping", `{"message":"page not found"}`, 404},
		{"/v1.40", `{"message":"page not found"}`, 404},
		{"/", `{"message":"page not found"}`, 404},
		{"/nodes/create", `{"message":"/nodes is not there yet"}`, 501},
		{"/v1.41/containers/x/json", `{"message":"No such container: x"}`, 404},
		{"/images/search", `{"message":"hulld does not search registries: the distribution specification has no search"}`, 501},
	} {
		method := "GET"
		if strings.HasSuffix(c.path, "create") {
			method = "POST"
		}
		status, body, header := ask(t, &fake{}, method, c.path, nil)
		if status != c.status || body != c.body || header.Get("Api-Version") != "1.56" {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
	if status, body, header := ask(t, &fake{}, "HEAD", "/_ping", nil); status != 200 || body != "" || header.Get("Builder-Version") != "1" {
		t.Errorf("HEAD: %d %q %v", status, body, header)
	}
}

// TestStatuses is the table of errors.
func TestStatuses(t *testing.T) {
	for err, want := range map[error]int{
		errdefs.ErrNotFound: 404, errdefs.ErrInvalidArgument: 400, errdefs.ErrConflict: 409, errdefs.ErrUnauthenticated: 401, errdefs.ErrPermissionDenied: 403,
		errdefs.ErrNotImplemented: 501, errdefs.ErrUnavailable: 503, errors.New("x"): 500, fmt.Errorf("around: %w", errdefs.ErrNotFound): 404,
	} {
		if status, body, _ := ask(t, &fake{fail: err}, "GET", "/images/x/json", nil); status != want || body != fmt.Sprintf(`{"message":%q}`, err.Error()) {
			t.Errorf("%v: %d %s, want %d", err, status, body, want)
		}
	}
}

// TestRoutes: names with slashes, ports and digests come through whole.
func TestRoutes(t *testing.T) {
	d := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct{ method, path, asked string }{
		{"GET", "/v1.41/images/localhost:5000/a/b:1/json", "find localhost:5000/a/b:1"},
		{"GET", "/images/json/json", "find json"},
		{"GET", "/images/" + d + "/history", "find " + d},
		{"DELETE", "/images/a/b?force=1", "remove a/b true"},
		{"POST", "/images/create?fromImage=x&tag=1", "pull docker.io/library/x:1 as  anonymous"},
		{"POST", "/images/create?fromImage=x&tag=" + d, "pull docker.io/library/x@" + d + " as  anonymous"},
		{"POST", "/images/create?fromImage=x", "pull all docker.io/library/x"},
		{"POST", "/images/r.example/x/push?tag=2", "push r.example/x:2"},
		{"POST", "/images/x/tag?repo=y&tag=3", "tag x docker.io/library/y:3"},
	} {
		f := &fake{}
		if status, body, _ := ask(t, f, c.method, c.path, nil); status >= 400 || len(f.asked) != 1 || f.asked[0] != c.asked {
			t.Errorf("%s %s: %d %s, asked %q", c.method, c.path, status, body, f.asked)
		}
	}
	for _, path := range []string{"/images/create?fromImage=UPPER&tag=1", "/images/create?fromImage=x&tag=a/b", "/images/create?fromImage=x&tag=1&platform=a/b/c/d", "/images/create"} {
		if status, _, _ := ask(t, &fake{}, "POST", path, nil); status != 400 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, c := range []struct {
		src, asked, body string
		fail             error
		status           int
	}{
		{"http://x/y", "[download http://x/y import http://x/y: the archive]", `{"status":"Downloading from http://x/y"}` + "\r\n" + `{"status":"the ID"}`, nil, 200},
		{"x/y", "[download http://x/y import http://x/y: the archive]", `{"status":"Downloading from http://x/y"}` + "\r\n" + `{"status":"the ID"}`, nil, 200},
		{"-", "[import -: ]", `{"status":"the ID"}`, nil, 200},
		{"ftp://x", "[download ftp://x]", `{"message":"refused: permission denied"}`, fmt.Errorf("refused: %w", errdefs.ErrPermissionDenied), 403},
	} {
		f := &fake{fail: c.fail}
		status, body, _ := ask(t, f, "POST", "/images/create?fromSrc="+c.src, nil)
		if status != c.status || body != c.body || fmt.Sprint(f.asked) != c.asked {
			t.Errorf("import from %s: %d %q, asked %v", c.src, status, body, f.asked)
		}
	}
}

// TestCredentials: they come through, and an error or a format verb does not show them.
func TestCredentials(t *testing.T) {
	raw := base64.URLEncoding.EncodeToString([]byte(`{"username":"u","password":"secret"}`))
	f := &fake{}
	ask(t, f, "POST", "/images/create?fromImage=x&tag=1", http.Header{"X-Registry-Auth": {raw}})
	if f.asked[0] != "pull docker.io/library/x:1 as u credentials" {
		t.Errorf("asked %q", f.asked)
	}
	for _, bad := range []string{"no base64 secret", base64.URLEncoding.EncodeToString([]byte("{secret")), base64.URLEncoding.EncodeToString([]byte(`{"username":"u","password":"secret` + strings.Repeat("A", maxAuth) + `"}`))} {
		f := &fake{}
		if status, body, _ := ask(t, f, "POST", "/images/create?fromImage=x&tag=1", http.Header{"X-Registry-Auth": {bad}}); status != 200 || strings.Contains(body, "secret") || !strings.HasSuffix(f.asked[0], "anonymous") {
			t.Errorf("%.20s: %d %s %q", bad, status, body, f.asked)
		}
	}
	c := image.Credentials{Username: "u", Password: "secret"}
	if s := fmt.Sprintf("%v %+v %s %#v", c, c, c, c); strings.Contains(s, "secret") {
		t.Errorf("credentials print as %s", s)
	}
}

// TestProgress: an error before the first line is a status, one after it is the last line.
func TestProgress(t *testing.T) {
	const create = "/images/create?fromImage=x&tag=1"
	status, body, _ := ask(t, &fake{}, "POST", create, nil)
	if status != 200 || body != `{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"abc","progress":"[=========================>                        ]  5B/10B"}` {
		t.Errorf("%d %s", status, body)
	}
	if status, body, _ = ask(t, &fake{fail: errdefs.ErrNotFound.WithMessage("gone")}, "POST", create, nil); status != 404 || body != `{"message":"gone"}` {
		t.Errorf("%d %s", status, body)
	}
	status, body, _ = ask(t, &fake{fail: errdefs.ErrNotFound.WithMessage("gone"), late: true}, "POST", create, nil)
	if status != 200 || !strings.HasSuffix(body, `{"errorDetail":{"message":"gone"},"error":"gone"}`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestShapes: fields come and go with versions as Docker's did.
func TestShapes(t *testing.T) {
	for _, c := range []struct {
		path        string
		has, hasNot []string
	}{
		{"/v1.41/images/json", []string{`"VirtualSize":42`, `"RepoTags":["<none>:<none>"]`}, nil},
		{"/v1.43/images/json", []string{`"VirtualSize":42`, `"RepoTags":[]`}, nil},
		{"/v1.44/images/json", []string{`"RepoTags":[]`, `"Containers":-1`, `"SharedSize":-1`}, []string{"VirtualSize"}},
		{"/v1.41/images/x/json", []string{`"Parent":""`, `"ContainerConfig":`, `"DockerVersion":""`, `"Hostname":""`, `"VirtualSize"`}, []string{`"Descriptor"`}},
		{"/v1.48/images/x/json", []string{`"Descriptor"`, `"Hostname":""`, `"Parent":""`}, []string{`"ContainerConfig"`}},
		{"/v1.51/images/x/json", []string{`"Descriptor"`, `"Cmd":["x"]`}, []string{`"Hostname"`, `"Parent"`, `"VirtualSize"`}},
		{"/v1.41/system/df", []string{`"LayersSize":42`, `"Containers":[]`, `"BuilderSize":0`}, []string{"ImageUsage"}},
		{"/v1.51/system/df?type=image", []string{`"LayersSize":42`}, []string{"ImageUsage", "Containers\":["}},
		{"/v1.56/system/df", []string{`"ImageUsage":{"Reclaimable":42,"TotalCount":1,"TotalSize":42}`}, []string{"LayersSize"}},
	} {
		status, body, _ := ask(t, &fake{}, "GET", c.path, nil)
		if status != 200 || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
		for _, want := range c.has {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %s: %s", c.path, want, body)
			}
		}
		for _, not := range c.hasNot {
			if strings.Contains(body, not) {
				t.Errorf("%s has %s: %s", c.path, not, body)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	for raw, status := range map[string]int{
		`{"dangling":{"true":true}}`: 200, `{"dangling":["true"]}`: 200, `{"dangling":["maybe"]}`: 400, `{"x":["1"]}`: 400, `{`: 400, `[]`: 400,
		`{"until":["nonsense"]}`: 400, `{"until":["10m"]}`: 200, `{"before":["nope"]}`: 404, `{"since":["a","b"]}`: 400,
	} {
		if got, body, _ := ask(t, &fake{}, "GET", "/images/json?filters="+url.QueryEscape(raw), nil); got != status {
			t.Errorf("%s: %d %s, want %d", raw, got, body, status)
		}
	}
}
