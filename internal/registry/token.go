package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// How long a token is used: Docker's token specification lets one without a life live for 60 seconds; a realm's word is
// taken up to a day, and a token is renewed a little before its end.
const (
	defaultTokenLife = time.Minute
	longestTokenLife = 24 * time.Hour
	tokenMargin      = 10 * time.Second
)

// clientID is what Hull calls itself at a realm's OAuth2 interface.
const clientID = "hull"

// tokenAnswer is what a realm answers, in either of its two forms.
type tokenAnswer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
}

// bearer is the Authorization header with a token for scopes, from the cache or from the realm.
func (e *endpoint) bearer(ctx context.Context, scopes []string) (string, error) {
	a := e.auth
	select {
	case a.busy <- struct{}{}:
	case <-ctx.Done():
		return "", e.broken(ctx, ctx.Err())
	}
	defer func() { <-a.busy }()
	key := strings.Join(scopes, " ")
	a.mu.Lock()
	t, ok := a.tokens[key]
	a.mu.Unlock()
	if ok && time.Now().Before(t.until) {
		return "Bearer " + t.value, nil
	}
	cred, err := a.credential(ctx)
	if err != nil {
		return "", err
	}
	if cred.RegistryToken != "" {
		return "Bearer " + cred.RegistryToken, nil
	}
	answer, err := e.askRealm(ctx, cred, scopes, false)
	if err != nil {
		return "", err
	}
	value := answer.AccessToken
	if answer.Token != "" {
		value = answer.Token
	}
	life := defaultTokenLife
	if answer.ExpiresIn > 0 {
		life = min(time.Duration(min(answer.ExpiresIn, 1<<31))*time.Second, longestTokenLife)
	}
	if life > 2*tokenMargin {
		life -= tokenMargin
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tokens) >= maxTokens {
		clear(a.tokens)
	}
	a.tokens[key] = token{value, time.Now().Add(life)}
	a.hide(value)
	return "Bearer " + value, nil
}

// askRealm gets a token: by GET, with the user's name and password if there are any, or by the OAuth2 form's POST with an
// identity token. login asks for an identity token as well.
func (e *endpoint) askRealm(ctx context.Context, cred Credential, scopes []string, login bool) (*tokenAnswer, error) {
	e.auth.mu.Lock()
	realm, service := *e.auth.realm, e.auth.service
	e.auth.mu.Unlock()
	r := &request{method: http.MethodGet, url: &realm, realm: true, header: make(http.Header), limit: maxTokenBody, want: []int{http.StatusOK}}
	if cred.IdentityToken != "" {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {cred.IdentityToken}, "client_id": {clientID}}
		if service != "" {
			form.Set("service", service)
		}
		if len(scopes) > 0 {
			form.Set("scope", strings.Join(scopes, " "))
		}
		r.method, r.body = http.MethodPost, []byte(form.Encode())
		r.header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		q := realm.Query()
		if service != "" {
			q.Set("service", service)
		}
		for _, s := range scopes {
			q.Add("scope", s)
		}
		if cred.Username != "" {
			q.Set("account", cred.Username)
			r.header.Set("Authorization", cred.basic())
			if login {
				q.Set("client_id", clientID)
				q.Set("offline_token", "true")
			}
		}
		realm.RawQuery = q.Encode()
	}
	_, body, err := e.roundTrip(ctx, r)
	if err != nil {
		return nil, e.realmError(&realm, cred, err)
	}
	var answer tokenAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, e.refuse(errdefs.ErrUnauthenticated, "has a token server, %s, whose answer is not JSON", oneLine(realm.Host, 100))
	}
	e.auth.mu.Lock()
	e.auth.hide(answer.Token, answer.AccessToken, answer.RefreshToken)
	e.auth.mu.Unlock()
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	switch {
	case value == "":
		return nil, e.refuse(errdefs.ErrUnauthenticated, "has a token server, %s, that answered without a token", oneLine(realm.Host, 100))
	case len(value) > maxToken || len(answer.RefreshToken) > maxToken:
		return nil, e.refuse(errdefs.ErrUnauthenticated, "has a token server, %s, that gave a token of more than %d bytes", oneLine(realm.Host, 100), maxToken)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, e.refuse(errdefs.ErrUnauthenticated, "has a token server, %s, that gave a token with characters that no header may have", oneLine(realm.Host, 100))
	}
	return &answer, nil
}

// realmError says of an error that it is the token server's.
func (e *endpoint) realmError(realm *url.URL, cred Credential, err error) error {
	got := *(about("", "", err).(*Error))
	if got.Status == http.StatusUnauthorized || got.Status == http.StatusForbidden {
		who := "the credentials"
		if cred.none() {
			who = "a request without credentials"
		}
		got.text = "has a token server, " + oneLine(realm.Host, 100) + ", that did not accept " + who
		got.class = errdefs.ErrUnauthenticated
	} else if origin(realm) != origin(e.base) {
		got.text = "has a token server, " + oneLine(realm.Host, 100) + ", that " + got.text
	}
	got.Host = e.host.name()
	return &got
}
