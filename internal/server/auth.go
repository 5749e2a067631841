package server

import (
	"io"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	registrytypes "github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

func (s *Server) auth(w http.ResponseWriter, r *request) error {
	c, err := authconfig.DecodeRequestBody(io.NopCloser(io.LimitReader(r.Body, maxAuth)))
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("the body is no authentication") // without what it says
	}
	domain := registryDomain(c.ServerAddress)
	if err := reference.CheckDomain(domain); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("invalid registry address: " + err.Error())
	}
	token, err := s.images.Login(r.Context(), domain, image.Credentials{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, registrytypes.AuthResponse{Status: "Login Succeeded", IdentityToken: token})
}

// distribution tells what a registry has, without pulling it.
func (s *Server) distribution(w http.ResponseWriter, r *request, name string) error {
	ref, err := reference.Parse(name)
	if err != nil {
		return err
	}
	desc, platforms, err := s.images.Distribution(r.Context(), ref, r.credentials())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Descriptor ocispec.Descriptor
		Platforms  []ocispec.Platform
	}{desc, platforms})
}
