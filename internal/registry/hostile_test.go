package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
	"github.com/hull-dev/hull/internal/registry"
	"github.com/hull-dev/hull/internal/registry/hostile"
)

// quick are limits for tests: what takes seconds in life takes a part of one here.
var quick = registry.Limits{
	Connect: 2 * time.Second, Handshake: 2 * time.Second, Header: 400 * time.Millisecond, Commit: 2 * time.Second, Request: 500 * time.Millisecond,
	Idle: 200 * time.Millisecond, MinRate: 1000, Attempts: 3, Backoff: 2 * time.Millisecond, MaxWait: time.Second, TotalWait: 2 * time.Second,
}

// pull gets an image whole, as a pull pipeline does, and returns its layers' bytes.
func pull(ctx context.Context, c *registry.Client, ref reference.Reference) ([]byte, error) {
	root, err := c.Fetch(ctx, ref)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = c.In(ref.Repository).Walk(ctx, root, nil, func(d *manifest.Document) error {
		for _, desc := range d.Blobs() {
			b, err := c.OpenBlob(ctx, ref.Repository, desc, registry.BlobOptions{})
			if err != nil {
				return err
			}
			_, err = io.Copy(&out, b)
			b.Close()
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out.Bytes(), err
}

func mustParse(t testing.TB, s string) reference.Reference {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// peak runs f and returns how much the heap grew meanwhile, in bytes, both sides of the connection together.
func peak(f func()) uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, top := m.HeapAlloc, m.HeapAlloc
	done, end := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(end)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&m)
				top = max(top, m.HeapAlloc)
			}
		}
	}()
	f()
	close(done)
	<-end
	return top - min(before, top)
}

// says are words that the error of some behaviours has: what they are refused for, where another rule would refuse them too.
var says = map[string]string{
	"manifest without end":                         "more than 4194304 bytes",
	"manifest byte by byte":                        "bytes a second",
	"manifest that stops in the middle":            "sent nothing for",
	"manifest that never comes":                    "did not answer within",
	"manifest of zipped zeros":                     "encoding gzip",
	"manifest of another digest":                   "a manifest with the digest",
	"blob that is longer, and does not say so":     "sends more than",
	"blob without end":                             "sends more than",
	"blob that is shorter, and says so":            "has a blob of 1000 bytes",
	"blob of another digest":                       "gave a blob with the digest",
	"reset once, range from elsewhere":             fmt.Sprintf("gives it from byte %d", hostile.BlobSize/2-1),
	"reset once, range of another total":           "of another size",
	"reset once, range past the end":               "of another size",
	"reset once, part without a range":             "does not say which",
	"redirect to itself":                           "redirects more than 5 times",
	"redirect to the metadata service, over https": "a link-local address",
	"redirect with credentials":                    "credentials in its URL",
	"token of 10 MB":                               "more than 65536 bytes",
	"token of 50 kB":                               "gave a token of more than",
	"token with a line break":                      "characters that no header may have",
	"token server that changes":                    "another token server than before",
	"token server on another host":                 "over plain http",
	"too many requests, come back tomorrow":        "come back in 24h",
	"error with terminal codes":                    "all is well",
	"header without end":                           "headers exceeded",
	"tags whose next page is the same":             "in a circle",
	"tags without end":                             "more than 1000 pages",
	"tags whose next page is elsewhere":            "on another host",
}

const (
	maxTime   = 8 * time.Second // three tries of the slowest limit, on a busy machine
	maxMemory = 64 << 20

	maxRequests = 12 // of a kind: three tries, each with two logins and a few redirects
)

func TestHostile(t *testing.T) {
	all := hostile.Behaviours()
	names := make(map[string]bool)
	for _, b := range all {
		if names[b.Name] {
			t.Errorf("two behaviours are called %q", b.Name)
		}
		names[b.Name] = true
		t.Run(b.Name, func(t *testing.T) { try(t, b) })
	}
	for name := range says {
		if !names[name] {
			t.Errorf("no behaviour is called %q", name)
		}
	}
	if len(all) < 30 {
		t.Errorf("there are %d behaviours, want at least 30", len(all))
	}
	t.Logf("%d behaviours", len(all))
}

// try pulls from a registry with one behaviour and holds the client to its contract.
func try(t *testing.T, b hostile.Behaviour) {
	srv, err := hostile.Start(b)
	if err != nil {
		t.Fatal(err)
	}
	closed := sync.OnceFunc(srv.Close)
	defer closed()
	var logged bytes.Buffer
	client := registry.New(registry.Options{
		Limits: quick, Credentials: registry.Fixed{Host: srv.Host(), Cred: registry.Credential{Username: hostile.User, Password: hostile.Password}},
		Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	ref := mustParse(t, srv.Host()+"/"+hostile.Repository+":"+hostile.Tag)
	ctx, cancel := context.WithTimeout(t.Context(), 2*maxTime)
	defer cancel()
	goroutines := runtime.NumGoroutine()
	var got []byte
	start := time.Now()
	grown := peak(func() {
		if b.Tags {
			_, err = client.Tags(ctx, ref.Repository)
		} else {
			got, err = pull(ctx, client, ref)
		}
	})
	if took := time.Since(start); took > maxTime {
		t.Errorf("it took %v", took)
	}
	if grown > maxMemory {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	switch {
	case b.Want == hostile.Recovered && err != nil:
		t.Errorf("got %v, want the image", err)
	case b.Want == hostile.Recovered && !bytes.HasSuffix(got, srv.Image.Layer):
		t.Error("the image came, and is another one")
	case b.Want == hostile.Refused && err == nil:
		t.Error("accepted, want an error")
	case err != nil:
		oneError(t, err, srv)
		if !strings.Contains(err.Error(), says[b.Name]) {
			t.Errorf("got %v, want something with %q", err, says[b.Name])
		}
	}
	for _, k := range []hostile.Kind{hostile.Token, hostile.ByTag, hostile.ByDigest, hostile.Blob, hostile.Other} {
		if n := srv.Requests(k); n > maxRequests {
			t.Errorf("%d requests of the kind %d", n, k)
		}
	}
	for _, s := range hostile.Secrets() {
		if strings.Contains(logged.String(), s) {
			t.Errorf("the log has a secret: %s", logged.String())
		}
	}
	if stolen := srv.Stolen(); len(stolen) > 0 {
		t.Errorf("the thief got %v", stolen)
	}
	t.Logf("%v: %v", time.Since(start).Round(time.Millisecond), err)

	// The next pull works, with the same client.
	srv.Heal()
	if got, err := pull(t.Context(), client, ref); err != nil && !pinned(b) {
		t.Errorf("the next pull: %v", err)
	} else if err == nil && !b.Tags && !bytes.HasSuffix(got, srv.Image.Layer) && b.Want == hostile.Refused {
		t.Error("the next pull gave another image")
	}
	client.CloseIdle()
	closed()
	for range 300 {
		if runtime.NumGoroutine() <= goroutines-2 { // the two of the server's listeners have ended
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", goroutines, runtime.NumGoroutine()+2)
}

// pinned: documents that are part of the image do not heal.
func pinned(b hostile.Behaviour) bool { return strings.HasPrefix(b.Name, "index ") }

// oneError holds an error to what users see: one line that names the object and has no secret.
func oneError(t *testing.T, err error, srv *hostile.Server) {
	t.Helper()
	text := err.Error()
	if len(text) > 800 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u202e' }) {
		t.Errorf("the error is not one clear line: %q", text)
	}
	if !strings.Contains(text, srv.Host()) || !strings.Contains(text, hostile.Repository) {
		t.Errorf("the error does not name what it is about: %q", text)
	}
	for _, form := range []string{text, fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, s := range hostile.Secrets() {
			if strings.Contains(form, s) {
				t.Errorf("the error has a secret: %s", form)
			}
		}
	}
}
