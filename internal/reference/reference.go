// Package reference reads and writes the names of images as Docker does: "alpine" is
// docker.io/library/alpine:latest.
//
// # Terms
//
//   - reference: what a person types, [domain/]path[:tag][@digest].
//   - domain: host with an optional port. The first part of a name is a domain when it has a '.', a ':' or an upper
//     case letter, or is "localhost"; otherwise the name is of docker.io.
//   - repository: domain and path together, without tag and digest.
//   - familiar form: as short as it can be typed ("alpine:3.20"); canonical form: with everything.
//
// The grammar is that of github.com/distribution/reference, which a differential fuzz test holds this package to. It is
// written out here because references are read before anything touches disk or network (SECURITY.md R11): a value of type
// [Reference] or [Repository] that Parse returned holds no "..", no empty component, no control or upper case character
// in its path, and is at most [MaxLength] bytes, so its parts may be put into URLs and file names as they are. The
// differences: digests are of the algorithms that the image specification registers and Hull computes, sha256 and sha512,
// and a domain is at most 259 bytes.
//
// Errors are of the class errdefs.ErrInvalidArgument and quote at most 80 bytes of the input.
package reference

import (
	_ "crypto/sha256" // digests are validated only of algorithms that are linked in
	_ "crypto/sha512"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Docker's names: the domain that a name without one is of, the path of its official images, the older name of
// that domain, and the tag that a reference without one means.
const (
	DefaultDomain  = "docker.io"
	officialPrefix = "library/"
	legacyDomain   = "index.docker.io"
	DefaultTag     = "latest"
)

// Limits in bytes: a reference as typed; a domain (253 of DNS and a port); the path of a repository, a tag and a digest.
const (
	MaxLength = 4096
	maxDomain = 253 + 6
	maxPath   = 255
	maxTag    = 128
	maxDigest = 7 + 1 + 128
)

// Repository is where manifests and blobs live: docker.io/library/alpine.
type Repository struct {
	Domain string // host[:port], IPv6 in brackets
	Path   string // lower case components, '/' between them
}

// Reference names one image. The zero value is not valid.
type Reference struct {
	Repository
	Tag    string        // "" for none
	Digest digest.Digest // "" for none
}

// String is the canonical form of the repository.
func (r Repository) String() string { return r.Domain + "/" + r.Path }

// Familiar is the short form of the repository: "alpine", "user/app", "registry.example/app".
func (r Repository) Familiar() string {
	if r.Domain != DefaultDomain {
		return r.String()
	}
	if rest, ok := strings.CutPrefix(r.Path, officialPrefix); ok && !strings.Contains(rest, "/") {
		return rest
	}
	return r.Path
}

// String is the canonical form: docker.io/library/alpine:3.20@sha256:….
func (r Reference) String() string { return r.Repository.String() + r.suffix() }

// Familiar is the form that Docker's output shows.
func (r Reference) Familiar() string { return r.Repository.Familiar() + r.suffix() }

func (r Reference) suffix() string {
	s := ""
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + string(r.Digest)
	}
	return s
}

// WithDefaultTag is the reference with the tag "latest" if it has neither tag nor digest.
func (r Reference) WithDefaultTag() Reference {
	if r.Tag == "" && r.Digest == "" {
		r.Tag = DefaultTag
	}
	return r
}

// WithTag is the repository's reference with a tag, which is checked.
func (r Repository) WithTag(tag string) (Reference, error) {
	if err := CheckTag(tag); err != nil {
		return Reference{}, err
	}
	return Reference{Repository: r, Tag: tag}, nil
}

// WithDigest is the repository's reference with a digest, which is checked.
func (r Repository) WithDigest(d digest.Digest) (Reference, error) {
	if err := CheckDigest(d); err != nil {
		return Reference{}, err
	}
	return Reference{Repository: r, Digest: d}, nil
}

// Parse reads a reference as a person types it. A string of 64 hexadecimal digits is refused: it is an image's ID.
func Parse(s string) (Reference, error) {
	if len(s) > MaxLength {
		return Reference{}, invalid(s, "it has %d bytes, the limit is %d", len(s), MaxLength)
	}
	if s == "" {
		return Reference{}, invalid(s, "it is empty")
	}
	if len(s) == 64 && lowerHex(s) {
		return Reference{}, invalid(s, "64 hexadecimal digits are an image ID, not a name")
	}
	domain, rest := splitDomain(s)
	name, d, hasDigest := strings.Cut(rest, "@")
	path, tag, hasTag := strings.Cut(name, ":")
	ref := Reference{Repository: Repository{Domain: domain, Path: path}, Tag: tag, Digest: digest.Digest(d)}
	if err := checkDomain(domain); err != nil {
		return Reference{}, invalid(s, "%v", err)
	}
	if err := checkPath(path); err != nil {
		return Reference{}, invalid(s, "%v", err)
	}
	if len(path) > maxPath {
		return Reference{}, invalid(s, "the repository's path has %d bytes, the limit is %d", len(path), maxPath)
	}
	if len(domain) > maxDomain {
		return Reference{}, invalid(s, "the registry's name has %d bytes, the limit is %d", len(domain), maxDomain)
	}
	if hasTag {
		if err := CheckTag(tag); err != nil {
			return Reference{}, invalid(s, "%v", err)
		}
	}
	if hasDigest {
		if err := CheckDigest(ref.Digest); err != nil {
			return Reference{}, invalid(s, "%v", err)
		}
	}
	return ref, nil
}

// splitDomain cuts a reference into its domain and the rest, filling in what Docker lets people leave out.
func splitDomain(s string) (domain, rest string) {
	first, after, ok := strings.Cut(s, "/")
	switch {
	case !ok:
		return DefaultDomain, officialPrefix + s
	case first == legacyDomain:
		domain, rest = DefaultDomain, after
	case first == "localhost" || strings.ContainsAny(first, ".:") || strings.ToLower(first) != first:
		domain, rest = first, after
	default:
		domain, rest = DefaultDomain, s
	}
	if domain == DefaultDomain && !strings.Contains(rest, "/") {
		rest = officialPrefix + rest
	}
	return domain, rest
}

// CheckDomain says whether s is a host with an optional port, as the name of a registry.
func CheckDomain(s string) error {
	if len(s) > maxDomain {
		return invalid(s, "a registry's name has at most %d bytes", maxDomain)
	}
	if err := checkDomain(s); err != nil {
		return invalid(s, "%v", err)
	}
	return nil
}

func checkDomain(s string) error {
	host, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 2 {
			return fmt.Errorf("the address in brackets does not end")
		}
		for _, c := range []byte(s[1:end]) {
			if !hexDigit(c) && c != ':' {
				return fmt.Errorf("the address in brackets has other characters than hexadecimal digits and ':'")
			}
		}
		rest := s[end+1:]
		if rest == "" {
			return nil
		}
		if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort {
			return fmt.Errorf("the address in brackets is followed by something else than a port")
		}
		return checkPort(port)
	}
	if host, port, hasPort = strings.Cut(s, ":"); hasPort {
		if err := checkPort(port); err != nil {
			return err
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("the registry's name has a part that is empty or begins or ends with '-'")
		}
		for _, c := range []byte(label) {
			if !lowerAlnum(c) && (c < 'A' || c > 'Z') && c != '-' {
				return fmt.Errorf("the registry's name has other characters than letters, digits, '-' and '.'")
			}
		}
	}
	return nil
}

func checkPort(s string) error {
	if s == "" {
		return fmt.Errorf("the registry's port is empty")
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return fmt.Errorf("the registry's port is not a number")
		}
	}
	return nil
}

// checkPath holds each component to alnum+ ((one of '_', '__', '.', or any number of '-') alnum+)*.
func checkPath(s string) error {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" {
			return fmt.Errorf("the repository's name has an empty component")
		}
		for i := 0; i < len(part); {
			run := i
			for run < len(part) && lowerAlnum(part[run]) {
				run++
			}
			if run == i {
				return fmt.Errorf("each component of a repository's name is of lower case letters and digits with single '.', '_', '__' or '-' between them")
			}
			if run == len(part) {
				break
			}
			sep := run
			for sep < len(part) && !lowerAlnum(part[sep]) {
				sep++
			}
			switch mark := part[run:sep]; {
			case sep < len(part) && (mark == "." || mark == "_" || mark == "__" || strings.Trim(mark, "-") == ""):
			case strings.ToLower(part) != part:
				return fmt.Errorf("a repository's name must be lower case")
			default:
				return fmt.Errorf("each component of a repository's name is of lower case letters and digits with single '.', '_', '__' or '-' between them")
			}
			i = sep
		}
	}
	return nil
}

// CheckTag holds a tag to [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
func CheckTag(s string) error {
	if s == "" || len(s) > maxTag {
		return invalid(s, "a tag has 1 to %d bytes", maxTag)
	}
	for i, c := range []byte(s) {
		if !lowerAlnum(c) && (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c != '.' && c != '-') {
			return invalid(s, "a tag is of letters, digits, '_', '.' and '-', and begins with none of the last two")
		}
	}
	return nil
}

// CheckDigest holds a digest to sha256 or sha512 with the right number of lower case hexadecimal digits, so that it may
// become a path or a part of a URL (CVE-2024-3727).
func CheckDigest(d digest.Digest) error {
	if len(d) > maxDigest {
		return invalid(string(d), "a digest has at most %d bytes", maxDigest)
	}
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	want := 0
	switch algorithm {
	case "sha256":
		want = 64
	case "sha512":
		want = 128
	default:
		return invalid(string(d), "a digest begins with sha256: or sha512:")
	}
	if len(encoded) != want || !lowerHex(encoded) {
		return invalid(string(d), "a digest of %s has %d lower case hexadecimal digits", algorithm, want)
	}
	return nil
}

func lowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func lowerHex(s string) bool {
	for _, c := range []byte(s) {
		if !hexDigit(c) || c >= 'A' && c <= 'F' {
			return false
		}
	}
	return true
}

// parseError is of the class errdefs.ErrInvalidArgument without repeating its words.
type parseError string

func (e parseError) Error() string { return string(e) }
func (e parseError) Unwrap() error { return errdefs.ErrInvalidArgument }

func invalid(s, format string, args ...any) error {
	const quoted = 80
	if len(s) > quoted {
		s = s[:quoted] + "…"
	}
	q := strconv.Quote(s)
	if len(q) > 2*quoted { // mostly escapes
		q = q[:2*quoted] + "…"
	}
	return parseError("invalid reference " + q + ": " + fmt.Sprintf(format, args...))
}
