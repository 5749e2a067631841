package registry_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	peer "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// store is content in memory, as a registry.Source.
type store map[digest.Digest][]byte

func (s store) OpenAt(_ context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	b, ok := s[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("content %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(b[offset:])), nil
}

func (s store) put(mediaType string, b []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	s[d.Digest] = b
	return d
}

// bytesOf is n bytes that depend on a seed.
func bytesOf(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// goodRegistry is a registry that other people wrote.
type goodRegistry struct {
	addr string
	ca   []byte // PEM, of a registry with TLS
}

// inProcess is go-containerregistry's, with a wrapper for what a test wants to break.
func inProcess(t *testing.T, referrers bool, wrap func(http.Handler) http.Handler) goodRegistry {
	t.Helper()
	h := peer.New(peer.WithReferrersSupport(referrers), peer.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return goodRegistry{addr: srv.Listener.Addr().String()}
}

// The user of Debian's registry. The hash is bcrypt with the least cost, of the password below, as htpasswd makes it.
const (
	debianUser     = "captain"
	debianPassword = "ahoy-sailor"
	debianHash     = "$2y$04$abcdefghijklmnopqrstuubQaqzqTcLbBCO6W29YspwQKtwfFWMZq"
)

// debian starts Debian's docker-registry on a free port of loopback, its data in a temporary directory.
func debian(t *testing.T, auth, tls bool) goodRegistry {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("needs the package docker-registry")
	}
	dir := t.TempDir()
	l := listen(t)
	r := goodRegistry{addr: l.Addr().String()}
	l.Close()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}}\nhttp:\n  addr: %s\n", dir, r.addr)
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if tls {
		cert, key := certificate(t, "127.0.0.1")
		r.ca = cert
		config += fmt.Sprintf("  tls: {certificate: %s, key: %s}\n", write("cert.pem", cert), write("key.pem", key))
	}
	if auth {
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", write("htpasswd", []byte(debianUser+":"+debianHash+"\n")))
	}
	cmd := exec.Command(program, "serve", write("config.yml", []byte(config)))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("docker-registry said: %.4000s", out.String())
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", r.addr); err == nil {
			c.Close()
			return r
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("docker-registry does not answer: %s", out.String())
	return r
}

// listen opens a free port of loopback.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// certificate makes a self-signed one for a host or an address.
func certificate(t *testing.T, names ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// recorder notes the requests that pass.
type recorder struct {
	mu   sync.Mutex
	seen []string
	auth []string
}

func (r *recorder) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Method+" "+req.URL.RequestURI())
		r.auth = append(r.auth, req.Header.Get("Authorization"))
		r.mu.Unlock()
		next.ServeHTTP(w, req)
	})
}

// count is how many requests there were that begin with a method and have a text.
func (r *recorder) count(method, text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if strings.HasPrefix(s, method+" ") && strings.Contains(s, text) {
			n++
		}
	}
	return n
}
