package registry

import (
	"context"
	"net/http"

	"github.com/containerd/errdefs"
)

// Login checks a credential at a registry, as `docker login` does, and returns the credential to keep: with an identity
// token in the password's place if the registry's realm gave one.
func (c *Client) Login(ctx context.Context, domain string, cred Credential) (Credential, error) {
	probe := c.WithCredentials(given{cred})
	e, err := probe.upstream(ctx, domain)
	if err != nil {
		return Credential{}, about("logging in to", domain, err)
	}
	u := *e.base
	u.Path = e.host.Path + "/"
	if _, _, err := e.roundTrip(ctx, &request{method: http.MethodGet, url: &u, want: []int{http.StatusOK}, limit: maxErrorBody}); err != nil {
		return Credential{}, about("logging in to", domain, err)
	}
	// A registry that does not ask lets everybody in; Docker takes that for a login as well.
	if e.auth.scheme != "bearer" || cred.IdentityToken != "" || cred.Username == "" {
		return cred, nil
	}
	answer, err := e.askRealm(ctx, cred, nil, true)
	if err != nil {
		return Credential{}, about("logging in to", domain, err)
	}
	if answer.RefreshToken != "" {
		return Credential{Username: cred.Username, IdentityToken: answer.RefreshToken}, nil
	}
	return cred, nil
}

// given is one credential for whichever host asks: there is only one in a login.
type given struct{ cred Credential }

// Credential implements Credentials.
func (g given) Credential(context.Context, string) (Credential, error) {
	if g.cred.none() {
		return Credential{}, errdefs.ErrUnauthenticated
	}
	return g.cred, nil
}
