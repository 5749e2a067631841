package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hull-dev/hull/internal/unpack"
)

// copying is what cp was asked for.
type copying struct {
	container, src, dst string
	follow, archive     bool
	quiet               bool
}

func (a *App) containerCopy(ctx context.Context, args []string) error {
	o := newOptions()
	follow := o.flag("follow-link", 'L', "Always follow symbol link in SRC_PATH")
	archive := o.flag("archive", 'a', "Archive mode (copy all uid/gid information)")
	quiet := o.flag("quiet", 'q', "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 2, 2); err != nil {
		return err
	}
	switch {
	case args[0] == "":
		return errors.New("source can not be empty")
	case args[1] == "":
		return errors.New("destination can not be empty")
	}
	c := copying{follow: *follow, archive: *archive, quiet: *quiet}
	if !o.changed("quiet") {
		c.quiet = !isTerminal(a.Out)
	}
	var from, to string
	from, c.src = splitCopy(args[0])
	to, c.dst = splitCopy(args[1])
	switch {
	case from != "" && to != "":
		return errors.New("copying between containers is not supported")
	case from != "":
		c.container = from
		return a.copyOut(ctx, c)
	case to != "":
		c.container = to
		return a.copyIn(ctx, c)
	}
	return errors.New("must specify at least one container source")
}

// splitCopy cuts CONTAINER:PATH. A local name with a colon is written with a slash or a dot first.
func splitCopy(arg string) (container, name string) {
	container, name, ok := strings.Cut(arg, ":")
	if !ok || strings.HasPrefix(arg, "/") || strings.HasPrefix(container, ".") {
		return "", arg
	}
	return container, name
}

// pathStat is what the daemon says of a file in a container.
type pathStat struct {
	Name       string      `json:"name"`
	Mode       fs.FileMode `json:"mode"`
	LinkTarget string      `json:"linkTarget"`
}

// maxStat bounds the header that carries a pathStat, in bytes.
const maxStat = 64 << 10

// readStat decodes a pathStat from an answer's header.
func readStat(h http.Header) (*pathStat, error) {
	text := h.Get("X-Docker-Container-Path-Stat")
	if len(text) > maxStat {
		return nil, fmt.Errorf("the daemon's description of the file is over %d bytes", maxStat)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	var st pathStat
	if err == nil {
		err = json.Unmarshal(raw, &st)
	}
	if err != nil {
		return nil, fmt.Errorf("unable to decode container path stat header: %w", err)
	}
	return &st, nil
}

func (a *App) statPath(ctx context.Context, container, name string) (*pathStat, error) {
	resp, err := a.client.answer(ctx, call{method: "HEAD", path: "/containers/" + container + "/archive", query: url.Values{"path": {name}}})
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return readStat(resp.Header)
}

// copyOut copies from a container. What comes is the container's to make, so package unpack,
// which leaves the destination by no name and no link, makes the files.
func (a *App) copyOut(ctx context.Context, c copying) error {
	dst := c.dst
	if dst != "-" {
		var err error
		if dst, err = absolute(dst); err != nil {
			return err
		}
		if err := checkOutput(dst); err != nil {
			return err
		}
	}
	src, rename := c.src, ""
	if c.follow {
		if st, err := a.statPath(ctx, c.container, src); err == nil && st.Mode&fs.ModeSymlink != 0 {
			target := st.LinkTarget
			if !path.IsAbs(target) {
				dir, _ := splitEntry(src)
				target = path.Join(dir, target)
			}
			src, rename = renamed(src, target)
		}
	}
	resp, err := a.client.answer(ctx, call{method: "GET", path: "/containers/" + c.container + "/archive", query: url.Values{"path": {src}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if dst == "-" {
		_, err = io.Copy(a.Out, resp.Body)
		return err
	}
	st, err := readStat(resp.Header)
	if err != nil {
		return err
	}
	target, err := localTarget(dst)
	if err != nil {
		return err
	}
	dir, name, err := destination(place{path: src, exists: true, dir: st.Mode.IsDir()}, target)
	if err != nil {
		return err
	}
	var r io.Reader = resp.Body
	_, base := splitEntry(src)
	if name == "" && rename != "" {
		name = rename
	}
	if name != "" {
		pipe := rebase(r, base, name)
		defer pipe.Close()
		r = pipe
	}
	counted := &copyProgress{r: r}
	stop := a.progress(c.quiet, "Copying from container - ", counted)
	err = extract(ctx, a, dir, counted)
	stop("to " + dst)
	return err
}

// extract makes files of a container's archive below a directory of the user.
func extract(ctx context.Context, a *App, dir string, r io.Reader) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := unpack.Extract(ctx, f, r, unpack.Options{KeepOwner: true, SameKind: true, Mounts: true, Limits: unpack.Limits{Bytes: -1, FileSize: -1, Entries: -1}})
	if err != nil {
		return err
	}
	if st.SkippedDevices > 0 {
		fmt.Fprintf(a.Err, "WARNING: %d device(s) left out: a container's devices are not made on the host\n", st.SkippedDevices)
	}
	return nil
}

// copyIn copies into a container.
func (a *App) copyIn(ctx context.Context, c copying) error {
	src := c.src
	if src != "-" {
		var err error
		if src, err = absolute(src); err != nil {
			return err
		}
	}
	target := place{path: c.dst}
	st, err := a.statPath(ctx, c.container, c.dst)
	if err == nil && st.Mode&fs.ModeSymlink != 0 {
		link := st.LinkTarget
		if !path.IsAbs(link) {
			dir, _ := splitEntry(c.dst)
			link = path.Join(dir, link)
		}
		target.path = link
		st, err = a.statPath(ctx, c.container, link)
	}
	if err == nil {
		if err := checkMode(st.Mode); err != nil {
			return fmt.Errorf(`destination "%s:%s" must be a directory or a regular file: %w`, c.container, c.dst, err)
		}
		target.exists, target.dir = true, st.Mode.IsDir()
	} else if !errors.As(err, new(*answerError)) {
		return err // no daemon: else the directory may be there, and if not, the copy says so
	}
	dir := target.path
	var r io.Reader = a.In
	if src == "-" {
		if !target.dir {
			return fmt.Errorf("destination \"%s:%s\" must be a directory", c.container, c.dst)
		}
	} else {
		source, rename, err := localSource(src, c.follow)
		if err != nil {
			return err
		}
		var name string
		if dir, name, err = destination(source, target); err != nil {
			return err
		}
		if name == "" {
			if name = rename; name == "" {
				_, name = splitEntry(source.path)
			}
		}
		pipe := archiveOf(ctx, source, name)
		defer pipe.Close()
		r = pipe
	}
	q := url.Values{"path": {dir}, "noOverwriteDirNonDir": {"true"}}
	if c.archive {
		q.Set("copyUIDGID", "true")
	}
	counted := &copyProgress{r: r}
	stop := a.progress(c.quiet || src == "-", "Copying to container - ", counted)
	err = a.client.get(ctx, call{method: "PUT", path: "/containers/" + c.container + "/archive", query: q, body: counted, header: http.Header{"Content-Type": {"application/x-tar"}}}, nil)
	stop("to " + c.container + ":" + target.path)
	return err
}

// absolute is a local path from the root; a slash or dot at the end has a meaning and stays.
func absolute(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	switch {
	case path.Base(name) == ".":
		return strings.TrimSuffix(abs, "/") + "/.", nil
	case strings.HasSuffix(name, "/") && abs != "/":
		return abs + "/", nil
	}
	return abs, nil
}

// checkOutput refuses a destination that cannot be written.
func checkOutput(name string) error {
	dir := filepath.Dir(filepath.Clean(name))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("invalid output path: directory %q does not exist", dir)
	}
	st, err := os.Stat(name)
	if err != nil {
		return nil
	}
	if err := checkMode(st.Mode()); err != nil {
		return fmt.Errorf("invalid output path: %q must be a directory or a regular file: %w", name, err)
	}
	return nil
}

func checkMode(m fs.FileMode) error {
	switch {
	case m&fs.ModeDevice != 0:
		return errors.New("got a device")
	case m&fs.ModeIrregular != 0:
		return errors.New("got an irregular file")
	}
	return nil
}
