package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// made is when everything in the archives was made: the same in each run, so that IDs are.
var made = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// file is one entry of a layer.
type file struct {
	tar.Header
	data string
}

func layer(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		f.Size = int64(len(f.data))
		f.ModTime = made
		if f.Mode == 0 {
			f.Mode = 0o644
		}
		if f.Typeflag == 0 {
			f.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dir(name string) file {
	return file{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}}
}

func text(name, data string) file { return file{Header: tar.Header{Name: name}, data: data} }

// picture is an image for an archive.
type picture struct {
	tags   []string
	layers [][]byte
	labels map[string]string
	age    time.Duration
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// archive is what `docker save` of version 20 writes, for pictures.
func archive(t *testing.T, pictures ...picture) []byte {
	t.Helper()
	var files []file
	var manifest []map[string]any
	seen := make(map[string]bool)
	for _, p := range pictures {
		var diffs, names []string
		var history []map[string]any
		at := made.Add(-p.age)
		for i, l := range p.layers {
			name := sum(l) + "/layer.tar"
			if !seen[name] {
				seen[name] = true
				files = append(files, text(name, string(l)))
			}
			diffs, names = append(diffs, "sha256:"+sum(l)), append(names, name)
			history = append(history, map[string]any{"created": at, "created_by": fmt.Sprintf("/bin/sh -c #(nop) ADD layer %d of a long enough command line in /", i)})
		}
		history = append(history, map[string]any{"created": at, "created_by": `CMD ["sh"]`, "empty_layer": true, "comment": "the end"})
		config, err := json.Marshal(map[string]any{
			"architecture": "amd64", "os": "linux", "created": at, "author": "nobody",
			"config":  map[string]any{"Cmd": []string{"sh"}, "Env": []string{"PATH=/bin"}, "Labels": p.labels, "WorkingDir": "/etc"},
			"history": history, "rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
		})
		if err != nil {
			t.Fatal(err)
		}
		name := sum(config) + ".json"
		files = append(files, text(name, string(config)))
		manifest = append(manifest, map[string]any{"Config": name, "RepoTags": p.tags, "Layers": names})
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return layer(t, append(files, text("manifest.json", string(raw)))...)
}

// fixtures are three images: two share a layer, one has no tag.
func fixtures(t *testing.T) []byte {
	base := layer(t, dir("bin"), dir("etc"), text("bin/sh", "not really a shell\n"), text("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
		file{Header: tar.Header{Typeflag: tar.TypeLink, Name: "bin/ash", Linkname: "bin/sh"}},
		file{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/ksh", Linkname: "/a/target/of/some/length/that/counts/as/size"}})
	second := layer(t, dir("etc"), text("etc/.wh.passwd", ""), text("etc/second", string(bytes.Repeat([]byte("second"), 20000))))
	third := layer(t, dir("opt"), file{Header: tar.Header{Name: "opt/big", Mode: 0o4755, Uid: 1000, Gid: 1001}, data: string(bytes.Repeat([]byte{0, 1, 2, 3}, 100000))})
	return archive(t,
		picture{tags: []string{"one:1", "one:latest"}, layers: [][]byte{base, second}, labels: map[string]string{"which": "one"}},
		picture{tags: []string{"two:1"}, layers: [][]byte{base, second, third}, labels: map[string]string{"which": "two"}, age: time.Hour},
		picture{layers: [][]byte{third}, age: 2 * time.Hour},
	)
}
