package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
	"github.com/hull-dev/hull/internal/registry"
)

// layerSize is above what is sent with one request.
const layerSize = 3<<20 + 7

// image makes an index of two images that share a layer, and returns the index's descriptor.
func image(t testing.TB, s store) ocispec.Descriptor {
	shared := s.put(ocispec.MediaTypeImageLayer, bytesOf(layerSize, 1))
	var entries []ocispec.Descriptor
	for i, arch := range []string{"amd64", "arm64"} {
		own := s.put(ocispec.MediaTypeImageLayer, bytesOf(1000, byte(2+i)))
		config := s.put(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"`+arch+`","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
		m := s.put(manifest.OCIManifest, encode(t, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifest.OCIManifest, Config: config, Layers: []ocispec.Descriptor{shared, own}}))
		m.Platform = &ocispec.Platform{Architecture: arch, OS: "linux"}
		entries = append(entries, m)
	}
	return s.put(manifest.OCIIndex, encode(t, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifest.OCIIndex, Manifests: entries}))
}

// dockerImage is one image in Docker's own formats.
func dockerImage(t testing.TB, s store) ocispec.Descriptor {
	config := s.put("application/vnd.docker.container.image.v1+json", []byte(`{"architecture":"s390x","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	layer := s.put("application/vnd.docker.image.rootfs.diff.tar.gzip", bytesOf(500, 9))
	empty := s.put("application/vnd.docker.image.rootfs.diff.tar", nil)
	return s.put(manifest.DockerManifest, encode(t, map[string]any{"schemaVersion": 2, "mediaType": manifest.DockerManifest, "config": config, "layers": []ocispec.Descriptor{layer, empty}}))
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// client makes one for a registry.
func client(r goodRegistry, creds registry.Credentials) *registry.Client {
	l := quick
	l.Header, l.Request, l.Idle = 5e9, 10e9, 5e9 // good registries may be slow on a busy machine
	return registry.New(registry.Options{Limits: l, Credentials: creds, Hosts: hosts{r.addr: {{Addr: r.addr, Scheme: schemeOf(r), CA: r.ca, Pull: true, Resolve: true, Push: true}}}})
}

func schemeOf(r goodRegistry) string {
	if r.ca != nil {
		return "https"
	}
	return ""
}

// hosts is a configuration in memory.
type hosts map[string][]registry.Host

func (h hosts) Hosts(domain string) ([]registry.Host, error) {
	if list, ok := h[domain]; ok {
		return list, nil
	}
	return []registry.Host{registry.Upstream(domain)}, nil
}

func TestRoundTripPeer(t *testing.T) {
	roundTrip(t, inProcess(t, true, nil), nil)
}

func TestRoundTripDebian(t *testing.T) {
	t.Parallel()
	roundTrip(t, debian(t, false, false), nil)
}

func TestRoundTripDebianLogin(t *testing.T) {
	t.Parallel()
	r := debian(t, true, true)
	good := registry.Credential{Username: debianUser, Password: debianPassword}
	roundTrip(t, r, registry.Fixed{Host: r.addr, Cred: good})

	c := client(r, nil)
	if kept, err := c.Login(t.Context(), r.addr, good); err != nil || kept != good {
		t.Errorf("login: got %v, %v", kept == good, err)
	}
	for _, bad := range []registry.Credential{{Username: debianUser, Password: "wrong-password"}, {}} {
		if _, err := c.Login(t.Context(), r.addr, bad); !errdefs.IsUnauthorized(err) || strings.Contains(err.Error(), "wrong-password") {
			t.Errorf("login with a wrong password: got %v", err)
		}
	}
	if _, err := c.Fetch(t.Context(), mustParse(t, r.addr+"/app:1")); !errdefs.IsUnauthorized(err) {
		t.Errorf("pull as nobody: got %v", err)
	}
	// The certificate is checked.
	r.ca = nil
	_, err := registry.New(registry.Options{Limits: quick}).Fetch(t.Context(), mustParse(t, r.addr+"/app:1"))
	if err == nil || !strings.Contains(err.Error(), "certificate") || errdefs.IsUnavailable(err) {
		t.Errorf("a registry with a certificate of nobody: got %v", err)
	}
}

// roundTrip pushes images and pulls them again.
func roundTrip(t *testing.T, r goodRegistry, creds registry.Credentials) {
	ctx := t.Context()
	c := client(r, creds)
	s := make(store)
	for name, root := range map[string]ocispec.Descriptor{"app": image(t, s), "docker/app": dockerImage(t, s)} {
		ref := mustParse(t, r.addr+"/"+name+":1")
		if _, err := c.Fetch(ctx, ref); !errdefs.IsNotFound(err) {
			t.Errorf("%s before it was pushed: got %v", ref, err)
		}
		states := push(t, c, ref, root, s)
		for d, state := range states {
			if state.last != registry.Pushed || state.done != int64(len(s[d])) {
				t.Errorf("%s: blob %s is %v after %d bytes, want pushed", ref, d, state.last, state.done)
			}
		}
		for d, state := range push(t, c, ref, root, s) {
			if state.last != registry.AlreadyExists {
				t.Errorf("%s again: blob %s is %v, want already there", ref, d, state.last)
			}
		}
		desc, err := c.Resolve(ctx, ref)
		if err != nil || desc.Digest != root.Digest || desc.Size != root.Size || desc.MediaType != root.MediaType {
			t.Errorf("resolving %s: got %+v, %v", ref, desc, err)
		}
		for _, as := range []reference.Reference{ref, {Repository: ref.Repository, Digest: root.Digest}, {Repository: ref.Repository, Tag: "no-such-tag", Digest: root.Digest}} {
			doc, err := c.Fetch(ctx, as)
			if err != nil || !bytes.Equal(doc.Raw, s[root.Digest]) || doc.Descriptor.MediaType != root.MediaType {
				t.Fatalf("fetching %s: %v", as, err)
			}
			if err := c.In(ref.Repository).Walk(ctx, doc, nil, func(d *manifest.Document) error { return samePulled(ctx, c, ref.Repository, d, s) }); err != nil {
				t.Errorf("pulling %s: %v", as, err)
			}
		}
		tags, err := c.Tags(ctx, ref.Repository)
		if err != nil || len(tags) < 1 || tags[0] != "1" {
			t.Errorf("tags of %s: got %v, %v", ref, tags, err)
		}
		mount(t, c, ref.Repository, root, s)
	}
	referrers(t, c, mustParse(t, r.addr+"/app").Repository, s)
	if _, err := c.Tags(ctx, mustParse(t, r.addr+"/nothing").Repository); !errdefs.IsNotFound(err) {
		t.Errorf("tags of a repository that is not there: got %v", err)
	}
	c.CloseIdle()
}

type pushed struct {
	last registry.State
	done int64
}

func push(t *testing.T, c *registry.Client, ref reference.Reference, root ocispec.Descriptor, s registry.Source) map[digest.Digest]pushed {
	t.Helper()
	got := make(map[digest.Digest]pushed)
	err := c.Push(t.Context(), ref, root, s, registry.PushOptions{Progress: func(e registry.Event) { got[e.Desc.Digest] = pushed{e.State, e.Done} }})
	if err != nil {
		t.Fatalf("pushing %s: %v", ref, err)
	}
	return got
}

// samePulled compares a document's blobs with what was pushed: whole, from an offset with a hash of what came before, and
// from an offset without.
func samePulled(ctx context.Context, c *registry.Client, repo reference.Repository, d *manifest.Document, s store) error {
	for _, desc := range d.Blobs() {
		want := s[desc.Digest]
		half := int64(len(want) / 2)
		prefix := desc.Digest.Algorithm().Hash()
		prefix.Write(want[:half])
		for i, o := range []registry.BlobOptions{{}, {Offset: half, Prefix: prefix}, {Offset: half}, {NoVerify: true}, {Offset: desc.Size, Prefix: nil}} {
			var told int64
			o.Progress = func(done int64) { told = done }
			b, err := c.OpenBlob(ctx, repo, desc, o)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(b)
			b.Close()
			if err != nil || !bytes.Equal(got, want[o.Offset:]) || o.Offset < desc.Size && told != desc.Size {
				return fmt.Errorf("blob %s, way %d: got %d bytes, told of %d, %w", desc.Digest, i, len(got), told, err)
			}
		}
	}
	return nil
}

// mount pushes to another repository of the same registry without sending a blob.
func mount(t *testing.T, c *registry.Client, from reference.Repository, root ocispec.Descriptor, s store) {
	t.Helper()
	to := reference.Reference{Repository: reference.Repository{Domain: from.Domain, Path: "copy/of/" + from.Path}, Tag: "1"}
	manifests := make(store) // no blobs: they cannot be sent
	for d, b := range s {
		if bytes.Contains(b, []byte(`"schemaVersion"`)) {
			manifests[d] = b
		}
	}
	var mounted, sent int
	err := c.Push(t.Context(), to, root, manifests, registry.PushOptions{
		MountFrom: func(ocispec.Descriptor) []reference.Repository {
			return []reference.Repository{{Domain: "elsewhere.example", Path: "x"}, from}
		},
		Progress: func(e registry.Event) {
			switch e.State {
			case registry.MountedFrom:
				mounted++
			case registry.Pushing:
				sent++
			}
		},
	})
	if err != nil || mounted == 0 && !strings.Contains(from.Path, "app") || sent > 0 {
		t.Errorf("mounting from %s: %d mounted, %d sent, %v", from, mounted, sent, err)
	}
}

// referrers pushes two artifacts about an image and lists them.
func referrers(t *testing.T, c *registry.Client, repo reference.Repository, s store) {
	t.Helper()
	ctx := t.Context()
	root := image(t, s)
	if list, err := c.Referrers(ctx, repo, root.Digest, ""); err != nil || len(list) != 0 {
		t.Errorf("referrers of an image without: got %v, %v", list, err)
	}
	empty := s.put(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	config := empty // of the artifact's type, which is how artifacts were told apart before there was a field for it
	var want []digest.Digest
	for _, kind := range []string{"application/vnd.example.sbom", "application/vnd.example.signature"} {
		config.MediaType = kind
		m := s.put(manifest.OCIManifest, encode(t, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifest.OCIManifest, Config: config, Layers: []ocispec.Descriptor{empty}, Subject: &root}))
		if err := c.Push(ctx, reference.Reference{Repository: repo, Digest: m.Digest}, m, s, registry.PushOptions{}); err != nil {
			t.Fatalf("pushing an artifact: %v", err)
		}
		want = append(want, m.Digest)
	}
	list, err := c.Referrers(ctx, repo, root.Digest, "")
	if err != nil || len(list) != 2 {
		t.Fatalf("referrers: got %v, %v", list, err)
	}
	list, err = c.Referrers(ctx, repo, root.Digest, "application/vnd.example.signature")
	if err != nil || len(list) != 1 || list[0].Digest != want[1] {
		t.Errorf("referrers of one type: got %v, %v", list, err)
	}
}

// TestPushResumes breaks an upload in the middle, twice, in front of a registry that keeps what it got and says how far it
// came: nothing is sent again. Debian's registry (2.8.2) calls a broken upload invalid when it is asked how
// far it came, and go-containerregistry's forgets it: there the upload begins anew.
func TestPushResumes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(t *testing.T) goodRegistry
		sent  int64 // at most
	}{
		"keeps":  {func(t *testing.T) goodRegistry { return keepingRegistry(t) }, layerSize},
		"peer":   {func(t *testing.T) goodRegistry { return inProcess(t, false, nil) }, layerSize + 2<<20},
		"debian": {func(t *testing.T) goodRegistry { return debian(t, false, false) }, layerSize + 2<<20},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.start(t)
			var sent atomic.Int64
			var breaks atomic.Int32
			front := breakingProxy(t, r.addr, func(req *http.Request) int64 {
				if req.Method != http.MethodPatch || breaks.Add(1) > 2 {
					return -1
				}
				return 1 << 20
			}, &sent)
			s := make(store)
			d := s.put(ocispec.MediaTypeImageLayer, bytesOf(layerSize, 5))
			out, err := client(front, nil).PushBlob(t.Context(), mustParse(t, front.addr+"/app").Repository, d, s, registry.PushBlobOptions{})
			if err != nil || out != registry.Uploaded {
				t.Fatalf("got %v, %v", out, err)
			}
			b, err := client(r, nil).OpenBlob(t.Context(), mustParse(t, r.addr+"/app").Repository, d, registry.BlobOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if n, err := io.Copy(io.Discard, b); err != nil || n != layerSize {
				t.Errorf("the blob that arrived: %d bytes, %v", n, err)
			}
			if n := sent.Load(); breaks.Load() != 3 || n > c.sent {
				t.Errorf("in %d requests %d bytes were sent of a blob of %d, want at most %d", breaks.Load(), n, layerSize, c.sent)
			}
		})
	}
}

// TestPushOfAForgottenUpload: a registry that forgets an upload in the middle gets it again, and one that always does is given up.
func TestPushOfAForgottenUpload(t *testing.T) {
	t.Parallel()
	for name, forgets := range map[string]int32{"once": 1, "always": 1 << 29} {
		var patches atomic.Int32
		r := inProcess(t, false, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodPatch && patches.Add(1)%2 == 0 && patches.Load() <= 2*forgets {
					io.Copy(io.Discard, req.Body)
					w.WriteHeader(http.StatusNotFound)
					return
				}
				next.ServeHTTP(w, req)
			})
		})
		s := make(store)
		d := s.put(ocispec.MediaTypeImageLayer, bytesOf(layerSize, 6))
		l := quick
		l.Request, l.Header = 10e9, 5e9
		c := registry.New(registry.Options{Limits: l, Hosts: hosts{r.addr: {{Addr: r.addr, Push: true, ChunkSize: 2 << 20}}}})
		_, err := c.PushBlob(t.Context(), mustParse(t, r.addr+"/app").Repository, d, s, registry.PushBlobOptions{})
		if (err == nil) != (forgets == 1) || patches.Load() > 20 {
			t.Errorf("%s: got %v after %d requests", name, err, patches.Load())
		}
	}
}

// TestPushInChunks cuts uploads where the configuration says, and where a proxy refuses large requests.
func TestPushInChunks(t *testing.T) {
	t.Parallel()
	s := make(store)
	d := s.put(ocispec.MediaTypeImageLayer, bytesOf(layerSize, 6))
	rec := &recorder{}
	for name, r := range map[string]goodRegistry{"keeps": keepingRegistry(t), "peer": inProcess(t, false, rec.wrap), "debian": debian(t, false, false)} {
		c := registry.New(registry.Options{Hosts: hosts{r.addr: {{Addr: r.addr, Push: true, Pull: true, ChunkSize: 1 << 20}}}})
		if _, err := c.PushBlob(t.Context(), mustParse(t, r.addr+"/app").Repository, d, s, registry.PushBlobOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := rec.count("PATCH", ""); n != 4 {
		t.Errorf("%d requests for a blob of 3 MiB and 7 bytes in chunks of 1 MiB, want 4", n)
	}
	// A proxy that takes no request of more than 33 MB.
	r := inProcess(t, false, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.ContentLength > 33<<20 {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
			next.ServeHTTP(w, req)
		})
	})
	d = s.put(ocispec.MediaTypeImageLayer, bytesOf(40<<20, 7))
	if _, err := client(r, nil).PushBlob(t.Context(), mustParse(t, r.addr+"/app").Repository, d, s, registry.PushBlobOptions{}); err != nil {
		t.Errorf("in front of a proxy that refuses large requests: %v", err)
	}
}

// damaged is a source whose content ends early, or cannot be read.
type damaged struct {
	store
	err error
}

func (d damaged) OpenAt(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	r, err := d.store.OpenAt(ctx, desc, offset)
	if err != nil || desc.Size < 1000 {
		return r, err
	}
	if d.err != nil {
		return io.NopCloser(io.MultiReader(io.LimitReader(r, 100), failing{d.err})), nil
	}
	return io.NopCloser(io.LimitReader(r, desc.Size-1)), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPushOfDamagedContent(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	r := inProcess(t, false, rec.wrap)
	s := make(store)
	root := image(t, s)
	ref := mustParse(t, r.addr+"/app:1")
	broken := errors.New("input/output error")
	for _, src := range []damaged{{s, nil}, {s, broken}} {
		err := client(r, nil).Push(t.Context(), ref, root, src, registry.PushOptions{})
		if err == nil || !strings.Contains(err.Error(), "pushing "+r.addr+"/app") || src.err != nil && !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	if n := rec.count("PUT", "/manifests/"); n != 0 {
		t.Errorf("%d manifests of an image that is not whole", n)
	}
	if n := rec.count("PATCH", ""); n > 8 {
		t.Errorf("%d tries of content that cannot be read", n)
	}
	s[root.Digest] = bytes.Replace(s[root.Digest], []byte("amd64"), []byte("mips6"), 1)
	if err := client(r, nil).Push(t.Context(), ref, root, s, registry.PushOptions{}); !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), "damaged in the store") {
		t.Errorf("a manifest that is not what it was: got %v", err)
	}
}

func TestPushEndsWithItsContext(t *testing.T) {
	r := inProcess(t, false, nil)
	s := make(store)
	root := image(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	err := client(r, nil).Push(ctx, mustParse(t, r.addr+"/app:1"), root, s, registry.PushOptions{Progress: func(registry.Event) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}
