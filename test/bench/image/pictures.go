package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// blob is in a file, or in memory.
type blob struct {
	media, digest string
	size          int64
	file          string
	data          []byte
}

func (b *blob) open() (io.ReadCloser, error) {
	if b.file == "" {
		return io.NopCloser(bytes.NewReader(b.data)), nil
	}
	return os.Open(b.file)
}

// picture is an image with layers of one compression.
type picture struct {
	layers []*blob
	config *blob
	plain  []*blob // the layers as tar
}

func (i *picture) manifest() []byte {
	entry := func(b *blob) map[string]any {
		return map[string]any{"mediaType": b.media, "digest": b.digest, "size": b.size}
	}
	layers := []any{}
	for _, l := range i.layers {
		layers = append(layers, entry(l))
	}
	raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": mediaManifest, "config": entry(i.config), "layers": layers})
	if err != nil {
		panic(err) // of strings and numbers
	}
	return raw
}

// made is when everything in the images was made: the same in each run.
var made = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// config is an image configuration for the plain layers.
func config(plain []*blob, label string) *blob {
	diffs := []string{}
	for _, l := range plain {
		diffs = append(diffs, l.digest)
	}
	raw, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": made,
		"config": map[string]any{"Cmd": []string{"/bin/true"}, "Labels": map[string]string{"bench": label}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		panic(err)
	}
	return &blob{media: mediaConfig, digest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), size: int64(len(raw)), data: raw}
}

// ofFile is a blob of a file that is there.
func ofFile(media, file string) (*blob, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return &blob{media: media, digest: fmt.Sprintf("sha256:%x", h.Sum(nil)), size: n, file: file}, err
}

// compressed makes FILE.gz and FILE.zst beside FILE, once, with the compressors' default levels.
func compressed(plain *blob, kind string) (*blob, error) {
	if kind == "" {
		return plain, nil
	}
	file := plain.file + map[string]string{"gzip": ".gz", "zstd": ".zst"}[kind]
	if _, err := os.Stat(file); err != nil {
		err := write(file, func(w io.Writer) error {
			in, err := plain.open()
			if err != nil {
				return err
			}
			defer in.Close()
			var z io.WriteCloser
			if kind == "gzip" {
				z = gzip.NewWriter(w)
			} else if z, err = zstd.NewWriter(w); err != nil {
				return err
			}
			if _, err := io.Copy(z, in); err != nil {
				return err
			}
			return z.Close()
		})
		if err != nil {
			return nil, err
		}
	}
	return ofFile(mediaLayer+"+"+kind, file)
}

// write makes a file, whole or not at all.
func write(file string, f func(io.Writer) error) error {
	out, err := os.Create(file + ".new")
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(out, 1<<20)
	err = f(b)
	if err == nil {
		err = b.Flush()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return err
}

// pictureOf compresses layers and puts an image together.
func pictureOf(plain []*blob, kind, label string) (*picture, error) {
	i := &picture{plain: plain, config: config(plain, label)}
	for _, p := range plain {
		l, err := compressed(p, kind)
		if err != nil {
			return nil, err
		}
		i.layers = append(i.layers, l)
	}
	return i, nil
}

// debian is a root file system by mmdebstrap, made once.
func debian(o options) ([]*blob, error) {
	file := o.debian
	if file == "" {
		file = filepath.Join(o.cache, "debian.tar")
		if _, err := os.Stat(file); err != nil {
			fmt.Fprintln(os.Stderr, "bench: making the Debian image")
			cmd := exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "bookworm", file)
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("mmdebstrap: %w: %s", err, out)
			}
		}
	}
	b, err := ofFile(mediaLayer, file)
	return []*blob{b}, err
}

// The synthetic image: ten layers of 100 MB.
const (
	layerCount = 10
	layerSize  = 100 << 20
	smallFiles = 50_000
	smallLayer = 4 // which of the ten has them
)

// synthetic makes the layers, once.
func synthetic(o options) ([]*blob, error) {
	scale, name := 1, "synthetic"
	if o.quick {
		scale, name = 10, "quick"
	}
	var out []*blob
	for i := range layerCount {
		file := filepath.Join(o.cache, fmt.Sprintf("%s-%d.tar", name, i))
		if _, err := os.Stat(file); err != nil {
			fmt.Fprintf(os.Stderr, "bench: making layer %d of the synthetic image\n", i)
			g := &generator{r: rand.New(rand.NewPCG(1, uint64(i)))}
			err := write(file, func(w io.Writer) error {
				if i == smallLayer {
					return g.layer(w, i, smallFiles/scale, layerSize/smallFiles)
				}
				return g.layer(w, i, 20, layerSize/20/scale)
			})
			if err != nil {
				return nil, err
			}
		}
		b, err := ofFile(mediaLayer, file)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// generator makes bytes of which half can be compressed: 4 KiB of noise, 4 KiB of words.
type generator struct{ r *rand.Rand }

func (g *generator) fill(b []byte) {
	for i := 0; i < len(b); {
		piece := b[i:min(len(b), i+4096)]
		if len(piece) < 4096 || i/4096%2 == 1 {
			half := len(piece)
			if len(piece) < 4096 && i == 0 { // a small file has both
				half /= 2
			}
			for j := 0; j < half; {
				j += copy(piece[j:half], fmt.Sprintf("word%03d %d\n", g.r.IntN(700), g.r.IntN(50)))
			}
			piece = piece[half:]
		}
		for j := range piece {
			piece[j] = byte(g.r.Uint32())
		}
		i = min(len(b), i+4096)
	}
}

// layer writes a layer of n files of size bytes, 100 in a directory.
func (g *generator) layer(w io.Writer, which, n, size int) error {
	t := tar.NewWriter(w)
	header := func(kind byte, name string, mode, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: size, ModTime: made})
	}
	top := fmt.Sprintf("layer%d/", which)
	if err := header(tar.TypeDir, "./", 0o755, 0); err != nil {
		return err
	}
	if err := header(tar.TypeDir, top, 0o755, 0); err != nil {
		return err
	}
	buf := make([]byte, size)
	for i := range n {
		dir := fmt.Sprintf("%sd%03d/", top, i/100)
		if i%100 == 0 {
			if err := header(tar.TypeDir, dir, 0o755, 0); err != nil {
				return err
			}
		}
		g.fill(buf)
		if err := header(tar.TypeReg, fmt.Sprintf("%sfile%05d", dir, i), 0o644, int64(size)); err != nil {
			return err
		}
		if _, err := t.Write(buf); err != nil {
			return err
		}
	}
	return t.Close()
}

// archive writes images as `docker save` of version 20 does, each with a tag.
func archive(file string, tags []string, images []*picture) error {
	return write(file, func(w io.Writer) error {
		t := tar.NewWriter(w)
		add := func(name string, b *blob) error {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: b.size, ModTime: made}); err != nil {
				return err
			}
			r, err := b.open()
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(t, r)
			return err
		}
		var list []map[string]any
		seen := make(map[string]bool)
		for i, p := range images {
			var names []string
			for _, l := range p.plain {
				name := l.digest[len("sha256:"):] + "/layer.tar"
				names = append(names, name)
				if seen[name] {
					continue
				}
				seen[name] = true
				if err := add(name, l); err != nil {
					return err
				}
			}
			name := p.config.digest[len("sha256:"):] + ".json"
			if err := add(name, p.config); err != nil {
				return err
			}
			list = append(list, map[string]any{"Config": name, "RepoTags": []string{tags[i]}, "Layers": names})
		}
		raw, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if err := add("manifest.json", &blob{size: int64(len(raw)), data: raw}); err != nil {
			return err
		}
		return t.Close()
	})
}
