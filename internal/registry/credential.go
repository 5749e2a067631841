package registry

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
)

// Credential is what a host asks for. At most one kind is set: a user with a password, an identity token, or a registry
// token. The zero value is "none", and the host is asked as nobody in particular.
//
// It prints as "(credential)": no format verb shows what is in it.
type Credential struct {
	Username      string
	Password      string
	IdentityToken string // turned into access tokens by the host's realm
	RegistryToken string // sent to the host as it is, as a bearer token
}

// Format implements fmt.Formatter.
func (Credential) Format(f fmt.State, _ rune) { io.WriteString(f, "(credential)") }

// MarshalJSON keeps credentials out of documents that are written by reflection.
func (Credential) MarshalJSON() ([]byte, error) { return []byte(`"(credential)"`), nil }

func (c Credential) none() bool { return c == Credential{} }

// basic is the value of an Authorization header.
func (c Credential) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}

// Credentials finds the credential of a host, as "docker.io" or "registry.example:5000". An error ends the request: a
// broken store must not turn into a request as nobody (CVE-2021-41092 began with the opposite mistake).
type Credentials interface {
	Credential(ctx context.Context, host string) (Credential, error)
}

// Anonymous has no credentials.
type Anonymous struct{}

// Credential implements Credentials.
func (Anonymous) Credential(context.Context, string) (Credential, error) { return Credential{}, nil }

// Fixed is the credential of one host and of no other, as an API request brings it.
type Fixed struct {
	Host string
	Cred Credential
}

// Credential implements Credentials.
func (f Fixed) Credential(_ context.Context, host string) (Credential, error) {
	if host != f.Host {
		return Credential{}, nil
	}
	return f.Cred, nil
}
