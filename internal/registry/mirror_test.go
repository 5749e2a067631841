package registry_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/registry"
)

// mirrored is a registry of a name that does not exist in any network, with a mirror and an upstream on loopback.
func mirrored(mirror, upstream goodRegistry, creds registry.Credentials) *registry.Client {
	l := quick
	l.Request, l.Header = 10e9, 5e9
	return registry.New(registry.Options{Limits: l, Credentials: creds, Hosts: hosts{"hub.example": {
		{Addr: mirror.addr, Mirror: true, Pull: true, Resolve: true, Push: true},
		{Addr: upstream.addr, Pull: true, Resolve: true, Push: true},
	}}})
}

func TestMirrors(t *testing.T) {
	s := make(store)
	root := image(t, s)
	ref := mustParse(t, "hub.example/app:1")
	var atMirror, atUpstream recorder
	mirror, upstream := inProcess(t, false, atMirror.wrap), inProcess(t, false, atUpstream.wrap)
	c := mirrored(mirror, upstream, nil)

	push(t, c, ref, root, s)
	if n := len(atMirror.seen); n != 0 {
		t.Errorf("a push made %d requests to the mirror: %v", n, atMirror.seen)
	}
	// The mirror has nothing: each request falls through to the upstream.
	all := func() error {
		doc, err := c.Fetch(t.Context(), ref)
		if err != nil {
			return err
		}
		return c.In(ref.Repository).Walk(t.Context(), doc, nil, func(d *manifest.Document) error { return samePulled(t.Context(), c, ref.Repository, d, s) })
	}
	if err := all(); err != nil {
		t.Fatalf("with an empty mirror: %v", err)
	}
	if n := atMirror.count("GET", "/manifests/1?ns=hub.example"); n != 1 {
		t.Errorf("the mirror was asked %d times for the tag with the registry's name: %v", n, atMirror.seen)
	}
	// The mirror has everything: the upstream is not asked.
	direct := mustParse(t, mirror.addr+"/app:1")
	push(t, client(mirror, nil), direct, root, s)
	before := len(atUpstream.seen)
	if err := all(); err != nil {
		t.Fatalf("with a full mirror: %v", err)
	}
	if n := len(atUpstream.seen) - before; n != 0 {
		t.Errorf("the upstream was asked %d times for what the mirror has", n)
	}
	if _, err := c.Fetch(t.Context(), mustParse(t, "hub.example/other:1")); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "hub.example/other:1") {
		t.Errorf("an image that neither has: got %v", err)
	}
}

// TestMirrorOfWrongBytes: what a mirror gives is checked, and a mirror that gave wrong bytes is not asked for them again.
func TestMirrorOfWrongBytes(t *testing.T) {
	s := make(store)
	root := image(t, s)
	ref := mustParse(t, "hub.example/app:1")
	var bad recorder
	mirror := inProcess(t, false, func(http.Handler) http.Handler {
		return bad.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				w.Write(bytes.Repeat([]byte("x"), 1000))
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		}))
	})
	c := mirrored(mirror, inProcess(t, false, nil), nil)
	push(t, c, ref, root, s)
	small := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: s.put(ocispec.MediaTypeImageLayer, bytesOf(1000, 2)).Digest, Size: 1000}
	read := func() error {
		b, err := c.OpenBlob(t.Context(), ref.Repository, small, registry.BlobOptions{})
		if err != nil {
			return err
		}
		defer b.Close()
		_, err = new(bytes.Buffer).ReadFrom(b)
		return err
	}
	if err := read(); !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), mirror.addr) {
		t.Errorf("wrong bytes of a mirror: got %v", err)
	}
	asked := len(bad.seen)
	if err := read(); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if len(bad.seen) != asked {
		t.Error("the mirror was asked again for what it gave wrong bytes of")
	}
}

// TestMirrorBreaksInTheMiddle: the rest of a blob comes from the next host.
func TestMirrorBreaksInTheMiddle(t *testing.T) {
	s := make(store)
	root := image(t, s)
	ref := mustParse(t, "hub.example/app:1")
	whole := bytesOf(layerSize, 1)
	mirror := inProcess(t, false, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusGone)
				return
			}
			w.Header().Set("Content-Length", "3145735")
			w.Write(whole[:1<<20])
			panic(http.ErrAbortHandler)
		})
	})
	var rec recorder
	c := mirrored(mirror, inProcess(t, false, rec.wrap), nil)
	push(t, c, ref, root, s)
	desc := s.put(ocispec.MediaTypeImageLayer, whole)
	b, err := c.OpenBlob(t.Context(), ref.Repository, desc, registry.BlobOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(b); err != nil || !bytes.Equal(got.Bytes(), whole) {
		t.Errorf("got %d bytes, %v", got.Len(), err)
	}
	if n := rec.count("GET", "/blobs/"); n != 1 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

// TestCredentialsAreOfOneHost: the upstream's credential does not go to the mirror, and the mirror's not to the upstream.
func TestCredentialsAreOfOneHost(t *testing.T) {
	basic := func(rec *recorder, user, password string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return rec.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if u, p, _ := r.BasicAuth(); u != user || p != password {
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(w, r)
			}))
		}
	}
	var atMirror, atUpstream recorder
	mirror, upstream := inProcess(t, false, basic(&atMirror, "m", "of-the-mirror")), inProcess(t, false, basic(&atUpstream, "u", "of-the-upstream"))
	cred := registry.Credential{Username: "u", Password: "of-the-upstream"}
	c := mirrored(mirror, upstream, registry.Fixed{Host: upstream.addr, Cred: cred})
	s := make(store)
	ref := mustParse(t, "hub.example/app:1")
	push(t, c, ref, image(t, s), s)
	if _, err := c.Fetch(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if len(atMirror.auth) == 0 || strings.Join(atMirror.auth, "") != "" {
		t.Errorf("the mirror was sent %q", atMirror.auth)
	}
	// With other credentials the same connections serve, and what was learnt of the first does not.
	if _, err := c.WithCredentials(nil).Fetch(t.Context(), ref); !errdefs.IsUnauthorized(err) {
		t.Errorf("as nobody: got %v", err)
	}
}
