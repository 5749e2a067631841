package registry

import "time"

// Limits bound what a registry can make a client do. The zero value of a field means its default.
type Limits struct {
	Connect   time.Duration // until a TCP connection stands: 15 s
	Handshake time.Duration // of TLS: 10 s
	Header    time.Duration // from the request's end until the response's headers are there: 30 s
	Commit    time.Duration // the same for the end of an upload, where a registry hashes and copies the blob: 10 min
	Request   time.Duration // one try of a request whose response is read whole (manifests, tokens, tags): 60 s
	Idle      time.Duration // without a byte in a stream; also the window over which MinRate is taken: 30 s
	MinRate   int64         // bytes per second, while the client waits for a stream: 1 KiB
	Attempts  int           // tries of a request, and of taking a stream up without progress: 5
	Backoff   time.Duration // before the second try, doubled for each further one: 500 ms
	MaxWait   time.Duration // longest wait that a registry may ask for with Retry-After: 60 s
	TotalWait time.Duration // all waits of a request together: 2 min
	Redirects int           // of one request: 5
	Parallel  int           // blobs that Push sends at a time: 4
}

// Sizes that are not for settings, in bytes, or counts.
const (
	maxHeader     = 64 << 10
	maxErrorBody  = 8 << 10
	maxTokenBody  = 64 << 10
	maxToken      = 32 << 10
	maxTagsPage   = 4 << 20
	maxTagPages   = 1000
	maxTags       = 200_000
	maxReferrers  = 10_000
	maxURL        = 8 << 10
	maxTokens     = 1000     // kept for one host
	minProgress   = 64 << 10 // of a stream between two breaks that counts as progress
	maxReconnects = 1000     // of one stream
	smallUpload   = 1 << 20  // up to here a blob is sent with one PUT
)

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// DefaultLimits are the limits of a client that is given none.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

// withDefaults fills in what is not set.
func (l Limits) withDefaults() Limits {
	return Limits{
		Connect:   or(l.Connect, 15*time.Second),
		Handshake: or(l.Handshake, 10*time.Second),
		Header:    or(l.Header, 30*time.Second),
		Commit:    or(l.Commit, 10*time.Minute),
		Request:   or(l.Request, time.Minute),
		Idle:      or(l.Idle, 30*time.Second),
		MinRate:   or(l.MinRate, 1<<10),
		Attempts:  or(l.Attempts, 5),
		Backoff:   or(l.Backoff, 500*time.Millisecond),
		MaxWait:   or(l.MaxWait, time.Minute),
		TotalWait: or(l.TotalWait, 2*time.Minute),
		Redirects: or(l.Redirects, 5),
		Parallel:  or(l.Parallel, 4),
	}
}
