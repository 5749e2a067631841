package cli

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

func (a *App) contextExport(_ context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 2); err != nil {
		return err
	}
	name := args[0]
	if err := checkContextName(name); err != nil && name != defaultContext {
		return err
	}
	target := name + ".dockercontext"
	if len(args) == 2 {
		target = args[1]
	}
	if target == "-" && isTerminal(a.Out) {
		return errors.New("cowardly refusing to export to a terminal, specify a file path")
	}
	m, err := loadContext(name)
	if err != nil {
		return err
	}
	files, err := contextFiles(name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := packContext(&b, m, files); err != nil {
		return err
	}
	if target == "-" {
		_, err := b.WriteTo(a.Out)
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = b.WriteTo(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "Written file %q\n", target)
	return nil
}

// packContext writes a context as Docker exchanges them: meta.json and tls/ENDPOINT/FILE.
func packContext(w io.Writer, m *contextMeta, files map[string][]byte) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	put := func(name string, mode int64, data []byte) error {
		h := &tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}
		if data == nil {
			h.Typeflag = tar.TypeDir
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	err = errors.Join(put("meta.json", 0o644, raw), put("tls", 0o700, nil))
	if len(files) > 0 {
		err = errors.Join(err, put("tls/docker", 0o700, nil))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err = errors.Join(err, put("tls/docker/"+name, 0o600, files[name]))
	}
	return errors.Join(err, out.Close())
}

func (a *App) contextImport(_ context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 2, 2); err != nil {
		return err
	}
	name := args[0]
	if err := checkContextName(name); err != nil {
		return err
	}
	if _, err := loadContext(name); err == nil {
		return fmt.Errorf("context %q already exists", name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in := a.In
	if args[1] != "-" {
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	m, files, err := unpackContext(in)
	if err != nil {
		return err
	}
	m.Name = name
	if err := storeContext(m, files); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, name)
	fmt.Fprintf(a.Err, "Successfully imported context %q\n", name)
	return nil
}

// unpackContext reads a context from a tar or zip archive of at most maxContext bytes.
func unpackContext(r io.Reader) (*contextMeta, map[string][]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(bufio.NewReader(r), maxContext+1))
	if err != nil {
		return nil, nil, err
	}
	if len(raw) > maxContext {
		return nil, nil, fmt.Errorf("the archive of a context is over %d bytes", maxContext)
	}
	found := make(map[string][]byte)
	if bytes.HasPrefix(raw, []byte("PK\x03\x04")) {
		err = readZip(raw, found)
	} else {
		err = readTar(raw, found)
	}
	if err != nil {
		return nil, nil, err
	}
	meta, ok := found["meta.json"]
	if !ok {
		return nil, nil, errors.New("invalid context: no metadata found")
	}
	var m contextMeta
	if err := json.Unmarshal(meta, &m); err != nil {
		return nil, nil, err
	}
	files := make(map[string][]byte)
	for name, data := range found {
		if name == "meta.json" {
			continue
		}
		file, ok := strings.CutPrefix(name, "tls/docker/")
		if !ok || !slices.Contains(slices.Collect(maps.Values(certFiles)), file) {
			return nil, nil, fmt.Errorf("%s: unexpected context file", name)
		}
		files[file] = data
	}
	return &m, files, nil
}

// checkContextFile takes only the names that an export has.
func checkContextFile(name string) error {
	if name != "meta.json" && !strings.HasPrefix(name, "tls/") || path.Clean(name) != name || strings.Contains(name, `\`) {
		return fmt.Errorf("%s: unexpected context file", name)
	}
	return nil
}

func readTar(raw []byte, found map[string][]byte) error {
	in := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := checkContextFile(h.Name); err != nil {
			return err
		}
		if found[h.Name], err = boundedFile(in); err != nil {
			return err
		}
	}
}

func readZip(raw []byte, found map[string][]byte) error {
	in, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return err
	}
	for _, f := range in.File {
		if !f.Mode().IsRegular() {
			continue
		}
		if err := checkContextFile(f.Name); err != nil {
			return err
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		found[f.Name], err = boundedFile(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// maxContextFile bounds one file of a context in an archive, in bytes: it may be compressed.
const maxContextFile = 1 << 20

func boundedFile(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxContextFile+1))
	if err == nil && len(data) > maxContextFile {
		err = fmt.Errorf("a file of the context is over %d bytes", maxContextFile)
	}
	return data, err
}
