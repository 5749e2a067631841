package server

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	registrytypes "github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

// maxAuth bounds the credentials of a request, in bytes as sent.
const maxAuth = 64 << 10

// credentials reads X-Registry-Auth. What cannot be read is nobody's, as with Docker; it is
// never repeated in an error.
func (r *request) credentials() image.Credentials {
	header := r.Header.Get(registrytypes.AuthHeader)
	if len(header) > maxAuth {
		return image.Credentials{}
	}
	c, err := authconfig.Decode(header)
	if err != nil {
		return image.Credentials{}
	}
	return image.Credentials{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}
}

// imageName puts a name and a tag (or a digest in its place) together. whole says that neither was
// given: all tags are meant.
func imageName(name, tag string) (ref reference.Reference, whole bool, err error) {
	ref, err = reference.Parse(name)
	if err != nil {
		return ref, false, errdefs.ErrInvalidArgument.WithMessage("invalid reference format: " + err.Error())
	}
	switch {
	case tag == "":
		return ref, ref.Tag == "" && ref.Digest == "", nil
	case strings.Contains(tag, ":"):
		// The tag of the name, if there is one, does not count beside a digest.
		ref, err = reference.Parse(ref.Repository.String() + "@" + tag)
	default:
		ref, err = ref.WithTag(tag)
	}
	return ref, false, err
}

// imageCreate pulls (fromImage) or imports (fromSrc).
func (s *Server) imageCreate(w http.ResponseWriter, r *request) error {
	platform, err := r.platform("platform")
	if err != nil {
		return err
	}
	if src := r.FormValue("fromSrc"); src != "" {
		return s.imageImport(w, r, src, platform)
	}
	ref, whole, err := imageName(r.FormValue("fromImage"), r.FormValue("tag"))
	if err != nil {
		return err
	}
	out := newStream(w)
	opts := image.PullOptions{Platform: platform, Auth: r.credentials(), Report: out.report}
	if whole {
		return out.fail(s.images.PullAll(r.Context(), ref.Repository, opts))
	}
	_, err = s.images.Pull(r.Context(), ref, opts)
	return out.fail(err)
}

// imageImport reads the archive from the body (src is "-") or from a URL.
func (s *Server) imageImport(w http.ResponseWriter, r *request, src string, platform *ocispec.Platform) error {
	opts := image.ImportOptions{Source: src, Message: r.FormValue("message"), Platform: platform, Changes: r.Form["changes"]}
	if repo := r.FormValue("repo"); repo != "" {
		var err error
		if opts.Name, _, err = imageName(repo, r.FormValue("tag")); err != nil {
			return err
		}
		if opts.Name.Digest != "" {
			return errdefs.ErrInvalidArgument.WithMessage("cannot import digest reference")
		}
	}
	if src != "-" {
		return s.importURL(w, r, src, opts)
	}
	id, err := s.images.Import(r.Context(), r.Body, opts)
	if err != nil {
		return err
	}
	newStream(w).report(image.Progress{Status: string(id)})
	return nil
}

// importURL imports what a URL holds. A URL without a scheme is http, as with Docker.
func (s *Server) importURL(w http.ResponseWriter, r *request, src string, opts image.ImportOptions) error {
	if !strings.Contains(src, "://") {
		src = "http://" + src
	}
	body, size, err := s.images.Download(r.Context(), src)
	if err != nil {
		return err
	}
	defer body.Close()
	opts.Source = src
	out := newStream(w)
	out.report(image.Progress{Status: "Downloading from " + src})
	id, err := s.images.Import(r.Context(), &counted{r: body, said: func(n int64) {
		if size > 0 {
			out.report(image.Progress{Status: "Importing", Current: n, Total: size})
		}
	}}, opts)
	if err == nil {
		out.report(image.Progress{Status: string(id)})
	}
	return out.fail(err)
}

// counted tells from time to time how much was read.
type counted struct {
	r    io.Reader
	n    int64
	next time.Time
	said func(n int64)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if now := time.Now(); err != nil || now.After(c.next) {
		c.next = now.Add(200 * time.Millisecond)
		c.said(c.n)
	}
	return n, err
}
