package reference

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	peer "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var cases = []string{
	"alpine", "alpine:3.20", "alpine@sha256:" + hex64, "alpine:3@sha256:" + hex64, "user/app", "library/alpine", "docker.io/alpine",
	"docker.io/library/a/b", "index.docker.io/alpine", "index.docker.io/u/a:1", "localhost/app", "localhost:5000/app:tag", "localhost",
	"host:5000", "registry.example/a/b/c:v1.2-x_y", "Registry.Example/a", "UPPER/x", "upper/X", "[::1]:5000/app", "[::1]/app", "[]/app", "[::1]x/app",
	"[fe80::1%eth0]:5000/app", "1.2.3.4/app", "a..b/c", "a__b", "a___b", "a_b", "a-_b", "a---b", "a.b.c/d", "-a", "a-", "a.", ".a", "a//b", "/a", "a/",
	"a:", "a@", "a:-", "a:.x", "a:" + strings.Repeat("t", 128), "a:" + strings.Repeat("t", 129), hex64, hex64 + "/x", "x/" + hex64, strings.Repeat("a", 240),
	strings.Repeat("a", 247), "host.example/" + strings.Repeat("a", 241), "host.example/" + strings.Repeat("a", 243), "../etc", "a/../b", "a b", "a\nb", "é", "a:é", "K/x", "ſ/x",
	"host.example:/a", "host.example:x/a", "host-.example/a", "-host.example/a", "host.example/a@sha256:" + strings.ToUpper(hex64), "a@sha256:12", "a@md5:" + hex64[:32],
	"a@sha512:" + hex64 + hex64, "a@sha256:" + hex64 + "@x", "a:b:c", "a@b:c@d", "alpine:1/2", "0_0.0/i", "docker.io/", "localhost/", "a@sha256:" + hex64 + ":tag", "a:1/b", "host.example:5/b:1/c",
}

// agree compares one string with distribution/reference, the reference implementation of the grammar.
func agree(t *testing.T, s string) {
	t.Helper()
	got, err := Parse(s)
	if err != nil && !errdefs.IsInvalidArgument(err) {
		t.Errorf("%q: the error %v is not of the class invalid argument", s, err)
	}
	want, peerErr := peer.ParseNormalizedNamed(s)
	if len(s) > maxDomain || strings.Contains(s, "sha384:") {
		return // what this package refuses and the peer does not
	}
	if peerErr == nil && peer.Domain(want) == "" {
		// What it takes for a domain and is none becomes part of the path, and the name is of no registry.
		if err == nil {
			t.Errorf("%q: got %v, a name of no registry", s, got)
		}
		return
	}
	if (err == nil) != (peerErr == nil) {
		t.Errorf("%q: got %v, %v; distribution/reference %v, %v", s, got, err, want, peerErr)
		return
	}
	if err != nil {
		if len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("%q: the error is not one clear line: %q", s, err)
		}
		return
	}
	if got.String() != want.String() || got.Familiar() != peer.FamiliarString(want) || got.Domain != peer.Domain(want) || got.Path != peer.Path(want) {
		t.Errorf("%q: got %q, %q; distribution/reference %q, %q", s, got, got.Familiar(), want, peer.FamiliarString(want))
	}
	if got.WithDefaultTag().String() != peer.TagNameOnly(want).String() {
		t.Errorf("%q: with the default tag %q, distribution/reference %q", s, got.WithDefaultTag(), peer.TagNameOnly(want))
	}
	if again, err := Parse(got.String()); err != nil || again != got {
		t.Errorf("%q: the canonical form %q reads back as %v, %v", s, got, again, err)
	}
}

func TestParseAgreesWithDistribution(t *testing.T) {
	for _, s := range cases {
		agree(t, s)
	}
}

func TestParse(t *testing.T) {
	ref, err := Parse("alpine")
	if err != nil || ref.WithDefaultTag().String() != "docker.io/library/alpine:latest" || ref.Familiar() != "alpine" {
		t.Errorf("alpine: got %v, %v", ref, err)
	}
	if _, err := Parse(strings.Repeat("a/", 5<<20)); err == nil || len(err.Error()) > 300 {
		t.Error("ten megabytes of name were accepted, or quoted whole")
	}
}

func TestCheckDigest(t *testing.T) {
	for _, d := range []digest.Digest{"", ":", "sha256:", "sha256:../../etc/passwd", digest.Digest("sha256:" + strings.ToUpper(hex64)), digest.Digest("SHA256:" + hex64),
		digest.Digest("sha256:" + hex64[1:]), digest.Digest("sha512:" + hex64), digest.Digest("sha256:" + strings.Repeat("0", 10<<20)), digest.Digest("sha256:" + hex64[:63] + "/")} {
		if err := CheckDigest(d); !errdefs.IsInvalidArgument(err) || len(err.Error()) > 300 {
			t.Errorf("%.80q: got %.300v", d, err)
		}
	}
	for _, d := range []digest.Digest{digest.Digest("sha256:" + hex64), digest.Digest("sha512:" + hex64 + hex64)} {
		if err := CheckDigest(d); err != nil {
			t.Errorf("%q: got %v", d, err)
		}
	}
}

func TestRepositoryWith(t *testing.T) {
	repo := Repository{"registry.example", "app"}
	if _, err := repo.WithTag("a/b"); err == nil {
		t.Error("WithTag accepts a slash")
	}
	if _, err := repo.WithDigest("sha256:x"); err == nil {
		t.Error("WithDigest accepts a short digest")
	}
	for _, bad := range []string{"", "a/b", "a b", "..", "a:", "user@host", strings.Repeat("a", 300)} {
		if err := CheckDomain(bad); err == nil {
			t.Errorf("CheckDomain accepts %.40q", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range cases {
		f.Add(s)
	}
	f.Fuzz(agree)
}
