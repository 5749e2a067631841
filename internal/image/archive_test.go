package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// pulled is a store with x:1 (two layers) and y:1 (the lower one of them).
func pulled(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, true)
	low, high := tarOf(t, "a", 100), tarOf(t, "b", 200)
	for name, layers := range map[string][][]byte{"x:1": {low, high}, "y:1": {low}} {
		if _, err := b.Pull(t.Context(), b.remote.tag(t, name, b.remote.image(t, here(), layers...)), PullOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func save(t *testing.T, b *bench, names ...string) []byte {
	t.Helper()
	a, err := b.Save(t.Context(), names, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var out bytes.Buffer
	if err := a.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSaveLoad: an archive brings the same digests back, and the same images give the same
// bytes.
func TestSaveLoad(t *testing.T) {
	b := pulled(t)
	data := save(t, b, "x:1", "y")
	if again := save(t, b, "x:1", "y"); !bytes.Equal(data, again) {
		t.Error("saving twice gives two archives")
	}
	before, err := b.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, archive := range [][]byte{data, zip(t, data), without(t, data, "index.json")} {
		other := newBench(t, true)
		var said []string
		if err := other.Load(t.Context(), bytes.NewReader(archive), nil, func(p Progress) { said = append(said, p.Status) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(said, "Loaded image: x:1\n") || !slices.Contains(said, "Loaded image: y:1\n") {
			t.Errorf("said %q", said)
		}
		after, err := other.Images(t.Context())
		if err != nil || len(after) != len(before) {
			t.Fatalf("%d images, %v", len(after), err)
		}
		for i := range after {
			if after[i].ID != before[i].ID || after[i].Size != before[i].Size {
				t.Errorf("image %d is %s, was %s", i, after[i].ID, before[i].ID)
			}
		}
	}
}

// rewrite copies an archive; change may return false to leave a file out.
func rewrite(t *testing.T, data []byte, change func(h *tar.Header, data []byte) ([]byte, bool)) []byte {
	t.Helper()
	var out bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(data)), tar.NewWriter(&out)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		body, keep := change(h, body)
		if !keep {
			continue
		}
		h.Size = int64(len(body))
		if err := errors.Join(w.WriteHeader(h)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func without(t *testing.T, data []byte, name string) []byte {
	return rewrite(t, data, func(h *tar.Header, b []byte) ([]byte, bool) { return b, h.Name != name })
}

// TestLoadRefuses: a bad archive is one error and leaves nothing.
func TestLoadRefuses(t *testing.T) {
	good := save(t, pulled(t), "x:1")
	for name, archive := range map[string][]byte{
		"no archive": []byte(strings.Repeat("nothing ", 200)),
		"empty":      {},
		"truncated":  good[:len(good)/2],
		"no images":  tarOf(t, "file", 10),
		"a layer that is not there": rewrite(t, good, func(h *tar.Header, b []byte) ([]byte, bool) {
			return b, h.Size > 300 || h.Size == 0 || !strings.HasPrefix(h.Name, "blobs/")
		}),
		"a blob with another digest": rewrite(t, good, func(h *tar.Header, b []byte) ([]byte, bool) {
			if strings.HasPrefix(h.Name, "blobs/sha256/") && len(b) > 0 {
				b[len(b)/2] ^= 1
			}
			return b, true
		}),
		"a name with a way out": rewrite(t, without(t, good, "index.json"), func(h *tar.Header, b []byte) ([]byte, bool) {
			return bytes.ReplaceAll(b, []byte("x:1"), []byte("../../x:1")), true
		}),
	} {
		b := newBench(t, true)
		err := b.Load(t.Context(), bytes.NewReader(archive), nil, nil)
		if err == nil || name == "a blob with another digest" && !strings.Contains(err.Error(), "has other bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if all, err := b.Images(t.Context()); err != nil || len(all) > 0 {
			t.Errorf("%s: images %v %v", name, all, err)
		}
		if n := b.left(snapshots.KindCommitted) + b.left(snapshots.KindActive); n > 0 {
			t.Errorf("%s: %d snapshots are left", name, n)
		}
		if left, err := b.meta.Orphans(t.Context(), false); err != nil || len(left) > 0 {
			t.Errorf("%s: %v %v", name, left, err)
		}
	}
}

func TestImport(t *testing.T) {
	b := newBench(t, true)
	id, err := b.Import(t.Context(), bytes.NewReader(zip(t, tarOf(t, "a", 100))), ImportOptions{
		Name: parse(t, "i"), Changes: []string{`CMD ["a", "b"]`, `ENV A=1 B="2 3"`, "env C the rest", "EXPOSE 80 53/udp", "WORKDIR x", `LABEL k="v w"`, "ENTRYPOINT run it", "VOLUME /a /b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := b.Find(t.Context(), "i")
	if err != nil || img.ID != id || img.Size != 100 {
		t.Fatalf("got %+v %v", img, err)
	}
	c := img.Config.Config
	if !slices.Equal(c.Cmd, []string{"a", "b"}) || !slices.Equal(c.Env, []string{"A=1", "B=2 3", "C=the rest"}) || c.WorkingDir != "/x" || c.Labels["k"] != "v w" ||
		!slices.Equal(c.Entrypoint, []string{"/bin/sh", "-c", "run it"}) || len(c.ExposedPorts) != 2 || len(c.Volumes) != 2 {
		t.Errorf("config %+v", c)
	}
	for _, bad := range []string{"RUN x", "CMD", "EXPOSE 70000", "ENV A", "LABEL \"x"} {
		if _, err := b.Import(t.Context(), bytes.NewReader(tarOf(t, "a", 1)), ImportOptions{Changes: []string{bad}}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("change %q: %v", bad, err)
		}
	}
	if _, err := b.Import(t.Context(), strings.NewReader("no tar at all, but long enough "+strings.Repeat("x", 1000)), ImportOptions{}); err == nil {
		t.Error("something that is no archive was imported")
	}
	if n := b.left(snapshots.KindActive); n > 0 {
		t.Errorf("%d snapshots are left", n)
	}
}

// TestPush: blobs come before manifests, manifests before their index, and digests stay.
func TestPush(t *testing.T) {
	b := newBench(t, true)
	index := b.remote.index(t, here().Architecture)
	ref := b.remote.tag(t, "r.example/x:1", index)
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Tag(t.Context(), "r.example/x:1", parse(t, "other.example/y:2")); err != nil {
		t.Fatal(err)
	}
	to := newRemote()
	b.opts.Remote = to
	if err := b.Push(t.Context(), parse(t, "other.example/y:2"), PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := to.tags["other.example/y:2"]; got != index.Descriptor.Digest {
		t.Errorf("the tag names %s, want the index %s", got, index.Descriptor.Digest)
	}
	// An index of which something is missing cannot be pushed: its image here is.
	b = newBench(t, true)
	index = b.remote.index(t, here().Architecture, "s390x")
	if _, err := b.Pull(t.Context(), b.remote.tag(t, "r.example/x:1", index), PullOptions{}); err != nil {
		t.Fatal(err)
	}
	to = newRemote()
	b.opts.Remote = to
	if err := b.Push(t.Context(), parse(t, "r.example/x:1"), PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := to.tags["r.example/x:1"]; got != index.Manifests[0].Digest {
		t.Errorf("the tag names %s, want %s", got, index.Manifests[0].Digest)
	}
	if err := b.Push(t.Context(), parse(t, "nothing"), PushOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

// TestImportNothing: an empty stream is an empty file system.
func TestImportNothing(t *testing.T) {
	b := newBench(t, true)
	if _, err := b.Import(t.Context(), strings.NewReader(""), ImportOptions{Name: parse(t, "i")}); err != nil {
		t.Fatal(err)
	}
	if img, err := b.Find(t.Context(), "i"); err != nil || img.Size != 0 || len(img.Layers) != 1 {
		t.Errorf("got %+v, %v", img, err)
	}
	if err := b.Tag(t.Context(), "i", parse(t, "sha256:tag")); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a tag of sha256: %v", err)
	}
}
