package registry

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// authorizer holds what one client knows about how to be let in at one host: nothing at first, then what the host's first
// challenge said.
type authorizer struct {
	creds Credentials
	host  string // that credentials are looked up under

	busy chan struct{} // of one: held while a credential or a token is fetched, so that parallel layers fetch one

	mu      sync.Mutex
	scheme  string // "", "basic" or "bearer"
	realm   *url.URL
	service string
	cred    *Credential // nil until it was looked up
	tokens  map[string]token
	secrets []string // that redact hides
}

// token is an access token of a realm.
type token struct {
	value string
	until time.Time
}

func newAuthorizer(creds Credentials, host string) *authorizer {
	return &authorizer{creds: creds, host: host, busy: make(chan struct{}, 1), tokens: make(map[string]token)}
}

// redact hides every secret that was used with this host, in the forms in which it was sent.
func (a *authorizer) redact(s string) string {
	if a == nil {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, secret := range a.secrets {
		s = strings.ReplaceAll(s, secret, "(redacted)")
	}
	return s
}

// hide adds secrets, longest first: one may be part of another. The caller holds mu.
func (a *authorizer) hide(secrets ...string) {
	for _, s := range secrets {
		if len(s) < 3 { // a password of one letter would blank the sentence
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), base64.StdEncoding.EncodeToString([]byte(s))} {
			if !slices.Contains(a.secrets, form) {
				a.secrets = append(a.secrets, form)
			}
		}
	}
	slices.SortFunc(a.secrets, func(x, y string) int { return cmp.Compare(len(y), len(x)) })
	if len(a.secrets) > 4*maxTokens {
		a.secrets = a.secrets[:4*maxTokens]
	}
}

// credential looks the host's credential up, once.
func (a *authorizer) credential(ctx context.Context) (Credential, error) {
	a.mu.Lock()
	known := a.cred
	a.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	c, err := a.creds.Credential(ctx, a.host)
	if err != nil {
		return Credential{}, &Error{Host: a.host, text: "asks for credentials, which cannot be read: " + oneLine(err.Error(), 200), class: credentialClass(err), final: true}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cred = &c
	a.hide(c.Password, c.IdentityToken, c.RegistryToken)
	if c.Username != "" {
		a.hide(strings.TrimPrefix(c.basic(), "Basic "))
	}
	return c, nil
}

// credentialClass is the class of an error of a credential store: its own, or that the host cannot be spoken to like this.
func credentialClass(err error) error {
	if c := classOf(err); c != errdefs.ErrUnknown {
		return c
	}
	return errdefs.ErrFailedPrecondition
}

// authorization is the Authorization header for a request to the host itself; "" before the first challenge.
func (e *endpoint) authorization(ctx context.Context, scopes []string) (string, error) {
	a := e.auth
	a.mu.Lock()
	scheme := a.scheme
	a.mu.Unlock()
	switch scheme {
	case "basic":
		c, err := a.credential(ctx)
		if err != nil {
			return "", err
		}
		return c.basic(), nil
	case "bearer":
		return e.bearer(ctx, scopes)
	}
	return "", nil
}

// challenged takes in a 401 of the host itself to a request that carried sent. An error says why it makes no sense to try
// again.
func (e *endpoint) challenged(ctx context.Context, from *url.URL, h http.Header, sent string, scopes []string) error {
	found, err := parseChallenges(h)
	if err != nil {
		return e.refuse(errdefs.ErrUnauthenticated, "asks for a login in a way that cannot be read: %v", err)
	}
	pick := func(scheme string) int {
		return slices.IndexFunc(found, func(c challenge) bool { return c.scheme == scheme })
	}
	if i := pick("bearer"); i >= 0 {
		return e.challengedBearer(ctx, from, found[i], sent, scopes)
	}
	if pick("basic") < 0 {
		return e.refuse(errdefs.ErrUnauthenticated, "asks for a login of a kind that Hull does not know (it knows Basic and Bearer)")
	}
	if strings.HasPrefix(sent, "Basic ") {
		return e.refuse(errdefs.ErrUnauthenticated, "did not accept the user name and password")
	}
	c, err := e.auth.credential(ctx)
	if err != nil {
		return err
	}
	if c.Username == "" {
		return e.refuse(errdefs.ErrUnauthenticated, "asks for a login, and there are no credentials for it")
	}
	e.auth.mu.Lock()
	e.auth.scheme = "basic"
	e.auth.mu.Unlock()
	return nil
}

// challengedBearer takes in a challenge that names a realm.
func (e *endpoint) challengedBearer(ctx context.Context, from *url.URL, c challenge, sent string, scopes []string) error {
	a := e.auth
	realm, err := url.Parse(c.params["realm"])
	if err != nil || c.params["realm"] == "" {
		return e.refuse(errdefs.ErrUnauthenticated, "asks for a token and does not say where from")
	}
	if err := e.checkForeign(from, realm, "token server"); err != nil {
		return err
	}
	if origin(realm) != origin(e.base) && !slices.Contains(e.host.Realms, realm.Host) {
		if len(e.host.Realms) > 0 {
			return e.refuse(errdefs.ErrPermissionDenied, "names %s as its token server, which its configuration does not list", oneLine(realm.Host, 100))
		}
		if realm.Scheme == "http" { // nothing proves that it is who the registry means
			return e.refuse(errdefs.ErrPermissionDenied, "names %s as its token server, over plain http, which its configuration does not list", oneLine(realm.Host, 100))
		}
	}
	cred, err := a.credential(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.realm != nil && origin(a.realm) != origin(realm) {
		return &Error{Host: e.host.name(), text: "names another token server than before (" + oneLine(realm.Host, 100) + ")", class: errdefs.ErrPermissionDenied, final: true}
	}
	a.scheme, a.realm, a.service = "bearer", realm, c.params["service"]
	if cred.RegistryToken != "" && sent != "" {
		return &Error{Host: e.host.name(), text: "did not accept the token", class: errdefs.ErrUnauthenticated, final: true}
	}
	// A token that was sent and not accepted has expired, or was revoked: the next one is fetched.
	key := strings.Join(scopes, " ")
	if t, ok := a.tokens[key]; ok && sent == "Bearer "+t.value {
		delete(a.tokens, key)
	}
	return nil
}
