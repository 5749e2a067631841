package hostile

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Behaviours lists all of them.
func Behaviours() []Behaviour {
	return slices.Concat(documents(), blobs(), redirects(), logins(), statuses(), tagLists())
}

// on makes a behaviour of one kind of request; the requests are let in first.
func on(kind Kind, serve func(s *Server, w http.ResponseWriter, r *http.Request)) func(*Server, http.ResponseWriter, *http.Request, Kind) bool {
	return func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool {
		if k != kind || !s.allowed(r) {
			return false
		}
		serve(s, w, r)
		return true
	}
}

// document answers the tag with something else.
func document(name, kind string, body func(*Image) string) Behaviour {
	return Behaviour{Name: name, serve: on(ByTag, func(s *Server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, body(s.Image))
	})}
}

// replace is the image's manifest with one part exchanged.
func replace(old, new string) func(*Image) string {
	return func(im *Image) string { return strings.Replace(string(im.Manifest), old, new, 1) }
}

// endless writes a text until the client has had enough.
func endless(w http.ResponseWriter, text string) {
	block := strings.Repeat(text, 1+(32<<10)/len(text))
	for {
		if _, err := io.WriteString(w, block); err != nil {
			return
		}
	}
}

// drip writes one byte at a time.
func drip(s *Server, w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w)
	for {
		if _, err := io.WriteString(w, " "); err != nil || flush.Flush() != nil || !s.pause(r, 40*time.Millisecond) {
			return
		}
	}
}

// raw takes the connection over and writes what net/http would not.
func raw(s *Server, w http.ResponseWriter, write func(io.Writer) error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	go func() { <-s.quit; conn.Close() }()
	conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	write(conn)
}

func documents() []Behaviour {
	list := []Behaviour{
		{Name: "manifest without end", serve: on(ByTag, func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", manifestType)
			io.WriteString(w, `{"schemaVersion":2,"x":"`)
			endless(w, "x")
		})},
		{Name: "manifest of 2 GB", serve: on(ByTag, func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(2<<30))
			endless(w, " ")
		})},
		{Name: "manifest byte by byte", serve: on(ByTag, drip)},
		{Name: "manifest that never comes", serve: on(ByTag, func(s *Server, w http.ResponseWriter, r *http.Request) { s.pause(r, time.Hour) })},
		{Name: "manifest that stops in the middle", serve: on(ByTag, func(s *Server, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "{")
			http.NewResponseController(w).Flush()
			s.pause(r, time.Hour)
		})},
		{Name: "manifest of zipped zeros", setup: func(*Server) { bomb() }, serve: on(ByTag, func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", manifestType)
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb())
		})},
		{Name: "manifest with another digest in its header", serve: on(ByTag, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", indexType)
			w.Header().Set("Docker-Content-Digest", Digest(s.Image.Layer))
			w.Write(s.Image.Index)
		})},
		{Name: "digest header that is a path", serve: on(ByTag, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", indexType)
			w.Header().Set("Docker-Content-Digest", "sha256:../../../../etc/passwd")
			w.Write(s.Image.Index)
		})},
		{Name: "manifest of another digest", serve: on(ByDigest, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", manifestType)
			w.Write(s.Image.manifest("other"))
		})},
		{Name: "tag that changes between requests", Want: Recovered, serve: on(ByTag, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			m := s.Image.manifest(strconv.Itoa(s.Requests(ByTag)))
			s.mu.Lock()
			index := s.Image.index(s.Image.add(manifestType, m))
			s.mu.Unlock()
			w.Header().Set("Content-Type", indexType)
			w.Write(index)
		})},
		{Name: "layer that is only elsewhere", serve: func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool {
			switch {
			case k == ByTag && s.allowed(r):
				w.Header().Set("Content-Type", manifestType)
				urls := fmt.Sprintf(`"urls":["http://%s/v2/%s/blobs/%s"],"size":%d`, s.Thief(), Repository, Digest(s.Image.Layer), BlobSize)
				io.WriteString(w, replace(fmt.Sprintf(`"size":%d`, BlobSize), urls)(s.Image))
			case k == Blob:
				w.WriteHeader(http.StatusNotFound)
			default:
				return false
			}
			return true
		}},
		document("manifest and index in one", manifestType, replace(`"layers"`, `"manifests":[],"layers"`)),
		document("media type of the other kind", indexType, replace(`"mediaType":"`+manifestType+`",`, "")),
		document("media type that differs inside", indexType, func(im *Image) string { return string(im.Manifest) }),
		document("key twice", manifestType, replace(`"layers"`, `"layers":[],"layers"`)),
		document("key twice but for case", manifestType, replace(`"layers"`, `"LAYERS":[],"layers"`)),
		document("two documents", manifestType, func(im *Image) string { return string(im.Manifest) + string(im.Manifest) }),
		document("nested lists", manifestType, replace(`"note":""`, `"note":"","x":`+strings.Repeat("[", 1<<20))),
		document("100,000 layers", manifestType, replace(`"layers":[`, `"layers":[`+strings.Repeat(`{"size":1},`, 100_000))),
		document("layer of negative size", manifestType, replace(fmt.Sprintf(`"size":%d`, BlobSize), `"size":-1`)),
		document("digest that is a path", manifestType, func(im *Image) string {
			return strings.Replace(string(im.Manifest), Digest(im.Layer), "sha256:../../../../etc/passwd", 1)
		}),
		document("schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", func(*Image) string { return `{"schemaVersion":1,"fsLayers":[]}` }),
		document("web page", "text/html", func(*Image) string { return "<html>log in to the hotel</html>" }),
		document("terminal codes", "text/\x1b[2Jplain", func(*Image) string { return "{\x1b]0;x\a" }),
	}
	nest := func(s *Server) {
		d := s.Image.add(manifestType, s.Image.manifest("deep"))
		for range 20 {
			d = s.Image.add(indexType, s.Image.index(d))
		}
		s.Image.Index = s.Image.index(d)
	}
	lie := func(key string, value any) func(*Server) {
		return func(s *Server) {
			d := descriptor(manifestType, s.Image.Manifest)
			d[key] = value
			s.Image.Index = s.Image.index(d)
		}
	}
	return append(list,
		Behaviour{Name: "index in index in index", setup: nest},
		Behaviour{Name: "index that lies about a size", setup: lie("size", 7)},
		Behaviour{Name: "index that lies about a media type", setup: lie("mediaType", indexType)},
	)
}

func statuses() []Behaviour {
	status := func(name string, want Want, times int, answer func(s *Server, w http.ResponseWriter, r *http.Request)) Behaviour {
		return Behaviour{Name: name, Want: want, serve: func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool {
			if k != ByDigest || !s.allowed(r) || times > 0 && s.Requests(k) > times {
				return false
			}
			answer(s, w, r)
			return true
		}}
	}
	code := func(n int, header ...string) func(*Server, http.ResponseWriter, *http.Request) {
		return func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(n)
		}
	}
	return []Behaviour{
		status("too many requests, come back tomorrow", Refused, 0, code(429, "Retry-After", "86400")),
		status("too many requests, come back in 2300", Refused, 0, code(429, "Retry-After", "Fri, 31 Dec 2299 23:59:59 GMT")),
		status("too many requests for ever", Refused, 0, code(429)),
		status("too many requests, twice", Recovered, 2, code(429, "Retry-After", "0")),
		status("unavailable for ever", Refused, 0, code(503)),
		status("internal error once", Recovered, 1, code(500)),
		status("no content", Refused, 0, code(204)),
		status("partial content that was not asked for", Refused, 0, code(206)),
		status("unknown status", Refused, 0, code(799)),
		status("error of endless length", Refused, 0, func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			endless(w, `{"errors":[{"message":"x`)
		}),
		status("error that repeats the credentials", Refused, 0, func(_ *Server, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(403)
			fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"denied: %s %s %s"}]}`, r.Header.Get("Authorization"), Password, Secrets()[2])
		}),
		status("error with terminal codes", Refused, 0, func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			io.WriteString(w, `{"errors":[{"code":"DENIED","message":"\u001b[2J\u202e\r\nlevel=info msg=\"all is well\"\u0000"}]}`)
		}),
		status("connection closed without an answer", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(io.Writer) error { return nil })
		}),
		status("connection closed without an answer, once", Recovered, 1, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(io.Writer) error { return nil })
		}),
		status("not HTTP", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) error { _, err := io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); return err })
		}),
		status("header without end", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) error {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
				for err == nil {
					_, err = io.WriteString(c, strings.Repeat("x", 32<<10))
				}
				return err
			})
		}),
		status("headers without end", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) error {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				for i := 0; err == nil; i++ {
					_, err = fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1000))
				}
				return err
			})
		}),
		status("header byte by byte", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) error {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
				for err == nil {
					time.Sleep(40 * time.Millisecond)
					_, err = io.WriteString(c, "x")
				}
				return err
			})
		}),
		status("early hints without end", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) (err error) {
				for err == nil {
					_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
				}
				return err
			})
		}),
		status("two lengths", Refused, 0, func(s *Server, w http.ResponseWriter, _ *http.Request) {
			raw(s, w, func(c io.Writer) error {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
				return err
			})
		}),
	}
}

func tagLists() []Behaviour {
	page := func(name string, answer func(s *Server, w http.ResponseWriter, r *http.Request)) Behaviour {
		return Behaviour{Name: name, Tags: true, serve: on(TagList, answer)}
	}
	return []Behaviour{
		page("tags whose next page is the same", func(_ *Server, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<"+r.URL.String()+`>; rel="next"`)
			io.WriteString(w, `{"tags":["a"]}`)
		}),
		page("tags without end", func(s *Server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", fmt.Sprintf(`</v2/%s/tags/list?last=%d>; rel="next"`, Repository, s.Requests(TagList)))
			io.WriteString(w, `{"tags":["a"]}`)
		}),
		page("tags whose next page is elsewhere", func(s *Server, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<http://"+s.Thief()+r.URL.Path+`>; rel="next"`)
			io.WriteString(w, `{"tags":["a"]}`)
		}),
		page("page of tags without end", func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"tags":["a"`)
			endless(w, `,"aaaaaaaaaaaaaaaa"`)
		}),
		page("tags that are not JSON", func(_ *Server, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }),
	}
}
