package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	registrytypes "github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

// willing is a fake that has all methods and refuses calls that a real store could not take.
type willing struct{ fake }

var errRefused = errdefs.ErrNotFound.WithMessage("there is none")

func (w *willing) Load(_ context.Context, r io.Reader, _ []ocispec.Platform, report image.Report) error {
	_, err := io.Copy(io.Discard, r)
	report(image.Progress{Status: "Loaded image: x\n", Stream: true})
	return errors.Join(err, errRefused)
}

func (w *willing) Save(context.Context, []string, []ocispec.Platform) (*image.Archive, error) {
	return nil, errRefused
}

func (w *willing) Import(_ context.Context, r io.Reader, o image.ImportOptions) (image.ID, error) {
	if o.Name.Digest != "" {
		panic("a name with a digest")
	}
	_, err := io.Copy(io.Discard, r)
	return one().ID, err
}

func (w *willing) Prune(_ context.Context, remove func(*image.Image) bool) ([]image.Removed, int64, error) {
	remove(one())
	return nil, 0, nil
}

func (w *willing) Distribution(_ context.Context, ref reference.Reference, _ image.Credentials) (ocispec.Descriptor, []ocispec.Platform, error) {
	if _, err := reference.Parse(ref.String()); err != nil {
		panic(err)
	}
	return ocispec.Descriptor{}, nil, nil
}

func (w *willing) Login(_ context.Context, domain string, _ image.Credentials) (string, error) {
	if err := reference.CheckDomain(domain); err != nil {
		panic(err)
	}
	return "", errdefs.ErrUnauthenticated
}

func (w *willing) Check(context.Context, bool) ([]image.Problem, error) { return nil, nil }

// FuzzRequest: any request has one answer, and no answer has the secrets of the request.
func FuzzRequest(f *testing.F) {
	const secret = "s3cr3t-of-the-fuzzer"
	auth := base64.URLEncoding.EncodeToString([]byte(`{"username":"u","password":"` + secret + `"}`))
	for _, s := range []struct{ method, path, query, body string }{
		{"GET", "/v1.41/images/json", `filters={"dangling":{"true":true},"label":["a=b"]}&shared-size=1`, ""},
		{"GET", "/images/json", `filters={"until":["1h"],"reference":["a*:[x-"]}`, ""},
		{"POST", "/v1.24/images/create", "fromImage=a/b&tag=sha256:0000&platform=linux/arm/v7", ""},
		{"POST", "/images/create", `fromSrc=-&repo=x&tag=1&changes=ENV a=b&platform={"os":"linux"}`, "tar"},
		{"POST", "/images/load", "quiet=1", "tar"},
		{"GET", "/images/get", "names=a,b&names=c", ""},
		{"POST", "/images/a/b/push", "tag=1", ""},
		{"POST", "/images/x/tag", "repo=y&tag=z", ""},
		{"DELETE", "/images/x", "force=1", ""},
		{"POST", "/images/prune", `filters={"dangling":["false"],"label!":["x"]}`, ""},
		{"GET", "/distribution/x/json", "", ""},
		{"POST", "/auth", "", `{"username":"u","password":"` + secret + `","serveraddress":"https://r.example/v1/"}`},
		{"GET", "/events", `since=1&until=2h&filters={"type":["image"]}`, ""},
		{"GET", "/system/df", "type=image&verbose=1", ""},
		{"POST", "/hull/check", "repair=1", ""},
		{"GET", "/v1.99999999999999999999/version", "", ""},
	} {
		f.Add(s.method, s.path, s.query, auth, []byte(s.body))
	}
	ended, cancel := context.WithCancel(f.Context())
	cancel() // so that /events comes to an end
	f.Fuzz(func(t *testing.T, method, path, query, auth string, body []byte) {
		r := (&http.Request{
			Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{registrytypes.AuthHeader: {auth}},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}).WithContext(ended)
		w := httptest.NewRecorder()
		store := &willing{}
		New(store, nobody{}, novolumes{}, nil, &store.bus, Facts{Version: "1", Snapshotter: "fake"}, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Fatalf("status %d", w.Code)
		}
		if w.Code >= 400 && method != http.MethodHead {
			var e failure
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" {
				t.Fatalf("status %d with the body %q", w.Code, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), secret) && !strings.Contains(method+path+query, secret) {
			t.Fatalf("the answer has the password: %s", w.Body)
		}
	})
}

// FuzzFilters: what is read as filters is used as filters without a fault, and both encodings give the same.
func FuzzFilters(f *testing.F) {
	for _, s := range []string{`{"dangling":{"true":true}}`, `{"label":["a","b=c"],"before":["x"]}`, `{"until":["2020-01-01T00:00:00Z"]}`, `{"reference":["[","a/**"]}`, `{"a":{"b":{}}}`, `null`, `[]`, `{"since":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := &request{Request: &http.Request{Form: url.Values{"filters": {raw}}}}
		got, err := r.filters("dangling", "label", "label!", "before", "since", "until", "reference")
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		filter, err := got.imageFilter(time.Unix(1e9, 0))
		if err != nil {
			return
		}
		match, err := filter.Compile([]*image.Image{one()})
		if err == nil {
			match(one())
		}
		list, err := json.Marshal(map[string][]string(got))
		if err != nil {
			t.Fatal(err)
		}
		r.Form = url.Values{"filters": {string(list)}}
		again, err := r.filters("dangling", "label", "label!", "before", "since", "until", "reference")
		if err != nil {
			t.Fatalf("%s reads as %s and that not at all: %v", raw, list, err)
		}
		for k := range got {
			if len(again[k]) != len(got[k]) {
				t.Fatalf("%s reads as %v, then as %v", raw, got, again)
			}
		}
	})
}

// FuzzCredentials: a header that is none is nobody, and what is somebody prints no secret.
func FuzzCredentials(f *testing.F) {
	for _, s := range []string{`{"username":"u","password":"p"}`, `{"identitytoken":"t"}`, `{"registrytoken":"t","auth":"dTpw"}`, `{}`, `null`, `{"username":1}`} {
		f.Add(base64.URLEncoding.EncodeToString([]byte(s)))
	}
	f.Add("%%%")
	f.Fuzz(func(t *testing.T, header string) {
		c := (&request{Request: &http.Request{Header: http.Header{registrytypes.AuthHeader: {header}}}}).credentials()
		if text := c.String(); len(c.Password) > 8 && strings.Contains(text, c.Password) {
			t.Fatalf("%q shows the password", text)
		}
	})
}
