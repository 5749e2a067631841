package images

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	userName = "tester"
	password = "secret-word"
	// passwordLine is both for docker-registry's htpasswd file; the hash was made by crypt(3).
	passwordLine = userName + ":$2y$05$abcdefghijklmnopqrstuuUOabO4v2PoT/v47Y.znQK.9MsMDnesq\n"
)

// authority is a certificate authority of its own, and a certificate of it for this machine.
type authority struct {
	dir  string // ca.crt, server.crt, server.key
	pem  []byte
	cert tls.Certificate
	key  *ecdsa.PrivateKey
	der  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: workDir(t, "authority")}
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	until := time.Now().Add(time.Hour)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	rootDER, rootKey := make(root, nil, nil)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: until, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	a.der, a.key = make(leaf, root, rootKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if a.cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ca.crt": a.pem, "server.crt": certPEM, "server.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// trust writes a directory as of certs.d that trusts the authority for a registry.
func (a *authority) trust(t *testing.T, registry string) string {
	t.Helper()
	dir := workDir(t, "certs")
	if err := os.Mkdir(filepath.Join(dir, registry), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, registry, "ca.crt"), a.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// basic is docker-registry's configuration of a login by name and password.
func (a *authority) basic(t *testing.T) string {
	t.Helper()
	file := filepath.Join(a.dir, "htpasswd")
	if err := os.WriteFile(file, []byte(passwordLine), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", file)
}

// tokens starts a token server, with TLS, and is docker-registry's configuration of it. It gives
// everybody who knows the password what he asks for, nobody else anything.
func (a *authority) tokens(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := r.BasicAuth()
		if !ok || user != userName || pass != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token, err := a.token(r.FormValue("service"), r.Form["scope"])
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return fmt.Sprintf("auth: {token: {realm: %q, service: test-service, issuer: test-issuer, rootcertbundle: %s}}\n", s.URL+"/token", filepath.Join(a.dir, "ca.crt"))
}

// token is a JSON web token as docker-registry takes it, signed by the server's key, with its certificate.
func (a *authority) token(service string, scopes []string) (string, error) {
	access := []map[string]any{}
	for _, s := range strings.Fields(strings.Join(scopes, " ")) {
		parts := strings.SplitN(s, ":", 2)
		i := strings.LastIndexByte(s, ':')
		access = append(access, map[string]any{"type": parts[0], "name": s[len(parts[0])+1 : i], "actions": strings.Split(s[i+1:], ",")})
	}
	now := time.Now()
	var out bytes.Buffer
	for i, part := range []any{
		map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(a.der)}},
		map[string]any{"iss": "test-issuer", "sub": userName, "aud": service, "exp": now.Add(5 * time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(), "jti": fmt.Sprint(now.UnixNano()), "access": access},
	} {
		raw, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteByte('.')
		}
		out.WriteString(base64.RawURLEncoding.EncodeToString(raw))
	}
	sum := sha256.Sum256(out.Bytes())
	r, s, err := ecdsa.Sign(rand.Reader, a.key, sum[:])
	if err != nil {
		return "", err
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return out.String() + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}
