package build

import (
	"context"

	"github.com/moby/buildkit/session/auth"
	registrytypes "github.com/moby/moby/api/types/registry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hull-dev/hull/internal/reference"
)

// credentials gives the solver what came with a request, in a session of hulld's own.
type credentials map[string]registrytypes.AuthConfig

// hubKey is what Docker's clients call Docker Hub.
const hubKey = "https://index.docker.io/v1/"

// hubHost is where BuildKit finds Docker Hub.
const hubHost = "registry-1." + reference.DefaultDomain

// Register implements session.Attachable.
func (c credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, &authServer{c: c}) }

type authServer struct {
	auth.UnimplementedAuthServer
	c credentials
}

// Credentials implements auth.AuthServer: those of the host that is asked for and of no other.
func (a *authServer) Credentials(_ context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	host := r.Host
	if host == hubHost {
		host = hubKey
	}
	c := a.c[host]
	if c.IdentityToken != "" {
		return &auth.CredentialsResponse{Secret: c.IdentityToken}, nil
	}
	return &auth.CredentialsResponse{Username: c.Username, Secret: c.Password}, nil
}

var errNoTokens = status.Error(codes.Unavailable, "client side tokens not configured")

func (a *authServer) FetchToken(context.Context, *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	return nil, errNoTokens
}

func (a *authServer) GetTokenAuthority(context.Context, *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	return nil, errNoTokens
}

func (a *authServer) VerifyTokenAuthority(context.Context, *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	return nil, errNoTokens
}
