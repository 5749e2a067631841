package registry_test

import (
	"io"
	"net/http"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/registry"
)

// BenchmarkOpenBlob reads a blob of 64 MiB from loopback: with the digest checked, without, and by net/http alone.
func BenchmarkOpenBlob(b *testing.B) {
	s := make(store)
	d := s.put(ocispec.MediaTypeImageLayer, bytesOf(64<<20, 1))
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "67108864")
		w.Write(s[d.Digest])
	})}
	l := listen(b)
	go srv.Serve(l)
	defer srv.Close()
	c := registry.New(registry.Options{})
	repo := mustParse(b, l.Addr().String()+"/app").Repository
	for _, way := range []struct {
		name string
		opts registry.BlobOptions
	}{{"verified", registry.BlobOptions{}}, {"unverified", registry.BlobOptions{NoVerify: true}}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(d.Size)
			b.ReportAllocs()
			for b.Loop() {
				blob, err := c.OpenBlob(b.Context(), repo, d, way.opts)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, blob); err != nil || n != d.Size {
					b.Fatal(n, err)
				}
				blob.Close()
			}
		})
	}
	b.Run("net-http", func(b *testing.B) {
		b.SetBytes(d.Size)
		for b.Loop() {
			resp, err := http.Get("http://" + l.Addr().String() + "/")
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}
