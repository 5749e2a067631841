package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// archiveDaemon has one container, whose archive is given; what is put is kept.
type archiveDaemon struct {
	stat string // JSON of the source's description
	tar  []byte
	put  map[string]string // query and names
	body []byte
}

func (d *archiveDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.stat != "" {
		w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString([]byte(d.stat)))
	}
	switch {
	case r.URL.Path == "/_ping":
	case r.Method == "PUT":
		d.put = map[string]string{"query": r.URL.RawQuery}
		d.body, _ = io.ReadAll(r.Body)
	case d.stat == "" && r.Method == "HEAD":
		w.WriteHeader(404)
	default:
		_, _ = w.Write(d.tar)
	}
}

func (d *archiveDaemon) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: d}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return "unix://" + l.Addr().String()
}

// pack makes an archive of headers; a file's content is its name.
func pack(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = io.WriteString(w, h.Name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree lists the files below a directory with their contents.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := strings.TrimPrefix(p, dir+"/")
		switch {
		case e.IsDir():
			name += "/"
		case e.Type()&fs.ModeSymlink != 0:
			link, _ := os.Readlink(p)
			name += " -> " + link
		default:
			data, _ := os.ReadFile(p)
			name += "=" + string(data)
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// TestCopyOutHostile: whatever a container sends, nothing outside the destination changes
// (CVE-2018-15664, CVE-2019-10152, CVE-2026-17106 and their like).
func TestCopyOutHostile(t *testing.T) {
	reg, dir, link, hard := byte(tar.TypeReg), byte(tar.TypeDir), byte(tar.TypeSymlink), byte(tar.TypeLink)
	for name, headers := range map[string][]tar.Header{
		"dot dot":         {{Name: "src/../../canary/file", Typeflag: reg}},
		"absolute":        {{Name: "CANARY/file", Typeflag: reg}},
		"link, then file": {{Name: "src/", Typeflag: dir}, {Name: "src/l", Typeflag: link, Linkname: "CANARY"}, {Name: "src/l/file", Typeflag: reg}},
		"up link":         {{Name: "src/", Typeflag: dir}, {Name: "src/l", Typeflag: link, Linkname: "../../canary"}, {Name: "src/l/file", Typeflag: reg}},
		"source is link":  {{Name: "src", Typeflag: link, Linkname: "CANARY"}, {Name: "src/file", Typeflag: reg}},
		"hard link":       {{Name: "src/", Typeflag: dir}, {Name: "src/h", Typeflag: hard, Linkname: "../canary/file"}, {Name: "src/h", Typeflag: reg}},
		"link to link":    {{Name: "src/", Typeflag: dir}, {Name: "src/a", Typeflag: link, Linkname: "CANARY/file"}, {Name: "src/b", Typeflag: hard, Linkname: "src/a"}, {Name: "src/b", Typeflag: reg}},
		"mode by link":    {{Name: "src/", Typeflag: dir}, {Name: "src/l", Typeflag: link, Linkname: "CANARY"}, {Name: "src/l/", Typeflag: dir, Mode: 0o777}},
		"other name":      {{Name: "other", Typeflag: link, Linkname: "CANARY"}, {Name: "other/file", Typeflag: reg}},
	} {
		for _, target := range []string{"dst", "dst/new"} {
			root := t.TempDir()
			canary := filepath.Join(root, "canary")
			for _, d := range []string{"canary", "dst"} {
				if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(canary, "file"), []byte("safe"), 0o644); err != nil {
				t.Fatal(err)
			}
			own := slices.Clone(headers)
			for i := range own {
				own[i].Name = strings.ReplaceAll(own[i].Name, "CANARY", canary)
				own[i].Linkname = strings.ReplaceAll(own[i].Linkname, "CANARY", canary)
			}
			d := &archiveDaemon{stat: fmt.Sprintf(`{"name":"src","mode":%d}`, fs.ModeDir|0o755), tar: pack(t, own...)}
			code, _, errs := hull(t, d.start(t), "cp", "c:/src", filepath.Join(root, target))
			info, err := os.Stat(canary)
			if got := tree(t, canary); got != "file=safe" || err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%s to %s: the canary is %q %v (exit %d, %s)", name, target, got, info, code, errs)
			}
		}
	}
}

// TestCopyOut: names and kinds of source and destination, as docker cp has them.
func TestCopyOut(t *testing.T) {
	dirTar := func(base string) []byte {
		return pack(t, tar.Header{Name: base + "/", Typeflag: tar.TypeDir}, tar.Header{Name: base + "/f", Typeflag: tar.TypeReg})
	}
	isDir := fmt.Sprintf(`{"mode":%d}`, fs.ModeDir|0o755)
	file := `{"mode":420}`
	for _, c := range []struct {
		src, stat string
		tar       []byte
		dst       string
		want, err string
	}{
		{"/a/src", isDir, dirTar("src"), "there", "there/ there/src/ there/src/f=src/f", ""},
		{"/a/src/.", isDir, dirTar("."), "there", "there/ there/f=./f", ""},
		{"/a/src", isDir, dirTar("src"), "new", "new/ new/f=src/f there/", ""},
		{"/a/src/.", isDir, dirTar("."), "new", "new/ new/f=./f there/", ""},
		{"/", isDir, dirTar(""), "new", "new/ new/f=/f there/", ""},
		{"/a/f", file, pack(t, tar.Header{Name: "f", Typeflag: tar.TypeReg}), "there", "there/ there/f=f", ""},
		{"/a/f", file, pack(t, tar.Header{Name: "f", Typeflag: tar.TypeReg}), "g", "g=f there/", ""},
		{"/a/f", file, pack(t, tar.Header{Name: "f", Typeflag: tar.TypeReg}), "new/", "there/", "no such directory"},
		{"/a/f", file, nil, "no/such/f", "there/", "invalid output path"},
		{"/a/src", isDir, dirTar("src"), "there/../there/link", "there/ there/link=x", "cannot copy directory"},
	} {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "there"), 0o755); err != nil {
			t.Fatal(err)
		}
		if c.err == "cannot copy directory" {
			if err := os.WriteFile(filepath.Join(root, "there/link"), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d := &archiveDaemon{stat: c.stat, tar: c.tar}
		code, out, errs := hull(t, d.start(t), "cp", "c:"+c.src, root+"/"+c.dst)
		if got := tree(t, root); got != c.want || (c.err == "") != (code == 0) || !strings.Contains(errs, c.err) || out != "" {
			t.Errorf("cp %s to %s: exit %d %q, %q; want %q", c.src, c.dst, code, errs, got, c.want)
		}
	}
}

// TestCopyIn: what is put, and where.
func TestCopyIn(t *testing.T) {
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "d/sub"), 0o750),
		os.WriteFile(filepath.Join(root, "d/sub/f"), []byte("data"), 0o640),
		os.Symlink("sub/f", filepath.Join(root, "d/l")),
		os.Symlink("d", filepath.Join(root, "dl")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	isDir := fmt.Sprintf(`{"mode":%d}`, fs.ModeDir|0o755)
	for _, c := range []struct{ args, stat, query, names string }{
		{"cp d c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "d/ d/l d/sub/ d/sub/f"},
		{"cp d/. c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "./ ./l ./sub/ ./sub/f"},
		{"cp -a d c:/to/new", "", "copyUIDGID=true&noOverwriteDirNonDir=true&path=%2Fto", "new/ new/l new/sub/ new/sub/f"},
		{"cp d/sub/f c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "f"},
		{"cp d/sub/f c:/to/g", "", "noOverwriteDirNonDir=true&path=%2Fto", "g"},
		{"cp d/l c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "l"},
		{"cp -L d/l c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "l"},
		{"cp dl/ c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "dl/ dl/l dl/sub/ dl/sub/f"},
		{"cp dl c:/to", isDir, "noOverwriteDirNonDir=true&path=%2Fto", "dl"},
	} {
		d := &archiveDaemon{stat: c.stat}
		host := d.start(t)
		t.Chdir(root)
		code, _, errs := hull(t, host, strings.Fields(c.args)...)
		var names []string
		r := tar.NewReader(bytes.NewReader(d.body))
		for h, err := r.Next(); err == nil; h, err = r.Next() {
			names = append(names, h.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); code != 0 || d.put["query"] != c.query || got != c.names {
			t.Errorf("%s: exit %d %s: %s with %q, want %s with %q", c.args, code, errs, d.put["query"], got, c.query, c.names)
		}
	}
	d := &archiveDaemon{stat: `{"mode":420}`}
	if code, _, errs := hull(t, d.start(t), "cp", "-", "c:/f"); code != 1 || !strings.Contains(errs, `destination "c:/f" must be a directory`) {
		t.Errorf("stream to a file: exit %d %s", code, errs)
	}
}

// TestRebaseBroken: an archive that breaks off is an error, not a short copy.
func TestRebaseBroken(t *testing.T) {
	whole := pack(t, tar.Header{Name: "a", Typeflag: tar.TypeReg})
	r := rebase(bytes.NewReader(whole[:512]), "a", "b")
	if _, err := io.ReadAll(r); err == nil {
		t.Error("no error")
	}
	r.Close()
	pipe := archiveOf(context.Background(), place{path: "/nonexistent"}, "x")
	if _, err := io.ReadAll(pipe); err == nil {
		t.Error("no error for a file that is not there")
	}
}
