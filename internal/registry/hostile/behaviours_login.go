package hostile

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

func redirects() []Behaviour {
	to := func(name string, want Want, target func(s *Server, r *http.Request) string) Behaviour {
		return Behaviour{Name: name, Want: want, serve: on(Blob, func(s *Server, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target(s, r))
			w.WriteHeader(http.StatusTemporaryRedirect)
		})}
	}
	fixed := func(url string) func(*Server, *http.Request) string {
		return func(*Server, *http.Request) string { return url }
	}
	return []Behaviour{
		to("redirect to itself", Refused, func(_ *Server, r *http.Request) string { return r.URL.Path }),
		to("redirect to ever new places", Refused, func(s *Server, r *http.Request) string { return fmt.Sprintf("%s?n=%d", r.URL.Path, s.Requests(Blob)) }),
		to("redirect to another host", Recovered, func(s *Server, r *http.Request) string { return "http://" + s.Thief() + r.URL.Path }),
		to("redirect to the metadata service", Refused, fixed("http://169.254.169.254/latest/meta-data/iam/security-credentials/")),
		to("redirect to the metadata service, over https", Refused, fixed("https://169.254.169.254/latest")),
		to("redirect to the metadata service, IPv6", Refused, fixed("https://[fd00:ec2::254]/latest")),
		to("redirect to the metadata service, IPv4 in IPv6", Refused, fixed("https://[::ffff:169.254.169.254]/latest")),
		to("redirect to a file", Refused, fixed("file:///etc/passwd")),
		to("redirect to a Unix socket", Refused, fixed("unix:///var/run/docker.sock")),
		to("redirect to plain http on the network", Refused, fixed("http://192.0.2.1/blob")),
		to("redirect to nowhere", Refused, fixed("")),
		to("redirect without a host", Refused, fixed("http:///blob")),
		to("redirect that cannot be read", Refused, fixed("http://%zz/")),
		to("redirect with credentials", Refused, func(s *Server, r *http.Request) string { return "http://user:password@" + s.Thief() + r.URL.Path }),
		to("redirect to every address", Refused, fixed("https://0.0.0.0/blob")),
		to("redirect of 20 kB", Refused, func(s *Server, r *http.Request) string {
			return "http://" + s.Thief() + r.URL.Path + "?" + strings.Repeat("x", 20_000)
		}),
	}
}

func logins() []Behaviour {
	// challenge answers everything that carries no token with a header of the behaviour's.
	challenge := func(name string, want Want, header func(s *Server) []string) Behaviour {
		return Behaviour{Name: name, Want: want, serve: func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool {
			if k == Token || s.allowed(r) {
				return false
			}
			w.Header()["Www-Authenticate"] = header(s)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}}
	}
	one := func(text string) func(*Server) []string { return func(*Server) []string { return []string{text} } }
	realm := func(name string, url func(s *Server) string) Behaviour {
		return challenge(name, Refused, func(s *Server) []string { return []string{s.bearer(url(s))} })
	}
	fixed := func(url string) func(*Server) string { return func(*Server) string { return url } }
	token := func(name string, serve func(s *Server, w http.ResponseWriter, r *http.Request)) Behaviour {
		return Behaviour{Name: name, serve: func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool {
			if k != Token {
				return false
			}
			serve(s, w, r)
			return true
		}}
	}
	text := func(body string) func(*Server, http.ResponseWriter, *http.Request) {
		return func(_ *Server, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
	}
	changing := realm("token server that changes", func(s *Server) string {
		if s.Requests(ByTag) < 2 {
			return "http://" + s.Host() + "/token"
		}
		return "https://" + s.Thief() + "/token"
	})
	changing.serve = func(inner func(*Server, http.ResponseWriter, *http.Request, Kind) bool) func(*Server, http.ResponseWriter, *http.Request, Kind) bool {
		return func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool {
			if k == ByTag {
				r.Header.Del("Authorization") // no token is ever good enough
			}
			return inner(s, w, r, k)
		}
	}(changing.serve)
	return []Behaviour{
		{Name: "login without end", serve: func(s *Server, w http.ResponseWriter, _ *http.Request, k Kind) bool {
			if k != Token {
				s.challenge(w)
			}
			return k != Token
		}},
		{Name: "login without end, by password", setup: func(s *Server) { s.basic = true }, serve: func(s *Server, w http.ResponseWriter, _ *http.Request, _ Kind) bool {
			s.challenge(w)
			return true
		}},
		{Name: "login by password, redirect to another host", Want: Recovered, setup: func(s *Server) { s.basic = true }, serve: on(Blob, func(s *Server, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+s.Thief()+r.URL.Path, http.StatusFound)
		})},
		realm("token server on another host", func(s *Server) string { return "http://" + s.Thief() + "/token" }),
		realm("token server that is a file", fixed("file:///etc/passwd")),
		realm("token server at the metadata service", fixed("https://169.254.169.254/token")),
		realm("token server without a host", fixed("/token")),
		realm("token server with credentials", func(s *Server) string { return "http://a:b@" + s.Host() + "/token" }),
		realm("token server that is not named", fixed("")),
		changing,
		challenge("challenge of an unknown kind", Refused, one(`Negotiate`)),
		challenge("challenge that cannot be read", Refused, one(`Bearer realm="http://x`)),
		challenge("challenge with a parameter twice", Refused, func(s *Server) []string {
			return []string{s.bearer("http://"+s.Host()+"/token") + `,realm="http://` + s.Thief() + `/token"`}
		}),
		challenge("challenge of 1,000 parameters", Refused, one("Bearer "+strings.Repeat(`a="b",`, 1000))),
		challenge("challenge of 1,000 schemes", Refused, one(strings.Repeat("Basic, ", 1000))),
		challenge("challenge without a header", Refused, func(*Server) []string { return nil }),
		challenge("challenge with a password's after it", Recovered, func(s *Server) []string {
			return []string{`Negotiate, Digest realm="x", nonce="a,b"`, s.bearer("http://" + s.Host() + "/token"), `Basic realm="x"`}
		}),
		token("token of 10 MB", func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"token":"%s"}`, strings.Repeat("x", 10<<20))
		}),
		token("token of 50 kB", text(`{"token":"`+strings.Repeat("x", 50_000)+`"}`)),
		token("token without end", func(_ *Server, w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"token":"`)
			endless(w, "x")
		}),
		token("token with a line break", text(`{"token":"a\r\nX-Evil: 1"}`)),
		token("token that is no JSON", text("token")),
		token("no token", text("{}")),
		token("token of the wrong type", text(`{"token":{"a":[1]}}`)),
		token("token that is not good", text(`{"token":"bad","expires_in":9223372036854775807}`)),
		token("token byte by byte", drip),
		token("token server that redirects to another host", func(s *Server, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+s.Thief()+"/token", http.StatusFound)
		}),
		token("token server that repeats the password", func(_ *Server, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"details":"bad: %s %s"}`, Password, r.Header.Get("Authorization"))
		}),
		token("token server that is broken", func(_ *Server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }),
	}
}
