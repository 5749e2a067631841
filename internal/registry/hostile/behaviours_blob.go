package hostile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bomb is 64 MiB of zeros as a gzip stream of 64 kB.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	return b.Bytes()
})

// cut sends the first n bytes of an answer that announces all of them, and resets the connection.
func cut(w http.ResponseWriter, head http.Header, status int, body []byte, n int) {
	for k, v := range head {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body[:min(n, len(body))])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// from reads the offset of a Range header, 0 without one.
func from(r *http.Request) int {
	start, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
	n, _ := strconv.Atoi(start)
	return n
}

// part is the header of a partial answer.
func part(start, end, total int) http.Header {
	return http.Header{"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", start, end, total)}}
}

func blobs() []Behaviour {
	blob := func(name string, want Want, serve func(s *Server, w http.ResponseWriter, r *http.Request)) Behaviour {
		return Behaviour{Name: name, Want: want, serve: on(Blob, serve)}
	}
	// second breaks the first answer in the middle and gives another one to what comes then.
	second := func(name string, want Want, then func(s *Server, w http.ResponseWriter, r *http.Request)) Behaviour {
		return blob(name, want, func(s *Server, w http.ResponseWriter, r *http.Request) {
			if s.Requests(Blob) <= 2 && from(r) == 0 { // the first one is the challenge, if the token is for the manifests only
				cut(w, nil, 200, s.Image.Layer, BlobSize/2)
			}
			then(s, w, r)
		})
	}
	other := func(s *Server) []byte {
		b := bytes.Clone(s.Image.Layer)
		b[BlobSize-1]++
		return b
	}
	return []Behaviour{
		blob("blob of another digest", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) { w.Write(other(s)) }),
		blob("blob that is longer, and says so", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Write(append(bytes.Clone(s.Image.Layer), 0))
		}),
		blob("blob that is longer, and does not say so", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Write(s.Image.Layer[:1000])
			http.NewResponseController(w).Flush()
			w.Write(append(s.Image.Layer[1000:BlobSize:BlobSize], 0))
		}),
		blob("blob without end", Refused, func(_ *Server, w http.ResponseWriter, _ *http.Request) { endless(w, "x") }),
		blob("blob that is shorter, and says so", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) { w.Write(s.Image.Layer[:1000]) }),
		blob("blob that is shorter, and does not say so", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Write(s.Image.Layer[:1000])
			http.NewResponseController(w).Flush()
		}),
		blob("blob that is empty", Refused, func(_ *Server, w http.ResponseWriter, _ *http.Request) {}),
		blob("blob byte by byte", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(BlobSize))
			drip(s, w, r)
		}),
		blob("blob that stops in the middle", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(BlobSize))
			w.Write(s.Image.Layer[:1000])
			http.NewResponseController(w).Flush()
			s.pause(r, time.Hour)
		}),
		blob("reset after each 70,000 bytes", Recovered, func(s *Server, w http.ResponseWriter, r *http.Request) {
			off := from(r)
			if off == 0 {
				cut(w, nil, 200, s.Image.Layer, 70_000)
			}
			cut(w, part(off, BlobSize-1, BlobSize), 206, s.Image.Layer[off:], 70_000)
		}),
		blob("reset after each byte", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			off := from(r)
			if off == 0 {
				cut(w, nil, 200, s.Image.Layer, 1)
			}
			cut(w, part(off, BlobSize-1, BlobSize), 206, s.Image.Layer[off:], 1)
		}),
		blob("reset in the middle, ranges ignored", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) { cut(w, nil, 200, s.Image.Layer, BlobSize/2) }),
		second("reset once, range ignored", Recovered, func(s *Server, w http.ResponseWriter, _ *http.Request) { w.Write(s.Image.Layer) }),
		second("reset once, range from elsewhere", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			cut(w, part(from(r)-1, BlobSize-1, BlobSize), 206, s.Image.Layer[from(r)-1:], BlobSize)
		}),
		second("reset once, range of another total", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			cut(w, part(from(r), BlobSize-1, BlobSize*2), 206, s.Image.Layer[from(r):], BlobSize)
		}),
		second("reset once, range past the end", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			cut(w, http.Header{"Content-Range": {fmt.Sprintf("bytes %d-9223372036854775807/*", from(r))}}, 206, s.Image.Layer[from(r):], BlobSize)
		}),
		second("reset once, part without a range", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			cut(w, nil, 206, s.Image.Layer[from(r):], BlobSize)
		}),
		second("reset once, range cannot be read", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			cut(w, http.Header{"Content-Range": {"bytes -1--2/+3"}}, 206, s.Image.Layer[from(r):], BlobSize)
		}),
		second("reset once, range not satisfiable", Refused, func(_ *Server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(416) }),
		second("reset once, then another blob", Refused, func(s *Server, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"another"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other(s)))
		}),
		second("reset once, then gone", Refused, func(_ *Server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }),
		second("reset once, then login anew", Recovered, func(s *Server, w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer "+tokenPrefix+"1" {
				s.challenge(w) // the token has expired meanwhile
				return
			}
			s.content(w, r, Blob)
		}),
		blob("chunks that are none", Refused, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) error {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n")
				return err
			})
		}),
	}
}
