package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// challenge is one of a WWW-Authenticate header's (RFC 9110, section 11.6.1).
type challenge struct {
	scheme string            // lower case
	params map[string]string // names in lower case
}

const (
	maxChallenges = 8
	maxParams     = 16
)

// parseChallenges reads all challenges of a response. A header that is not of the grammar is an error: to guess what it
// meant would be to guess where credentials go.
func parseChallenges(h http.Header) ([]challenge, error) {
	var out []challenge
	for _, line := range h.Values("WWW-Authenticate") {
		p := challengeParser{s: line}
		if err := p.list(&out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type challengeParser struct {
	s string
	i int
}

// list reads challenge *( "," challenge ), where the parameters of a challenge are separated by commas as well: a token that
// '=' does not follow begins the next challenge.
func (p *challengeParser) list(out *[]challenge) error {
	for {
		p.skip(" \t,")
		if p.i == len(p.s) {
			return nil
		}
		word := p.token()
		if word == "" {
			return errors.New("the challenge has a character where none belongs")
		}
		mark := p.i
		p.skip(" \t")
		if p.i < len(p.s) && p.s[p.i] == '=' && len(*out) > 0 {
			p.i++
			p.skip(" \t")
			value, err := p.value()
			if err != nil {
				return err
			}
			c := &(*out)[len(*out)-1]
			name := strings.ToLower(word)
			if _, ok := c.params[name]; ok {
				return fmt.Errorf("the challenge has the parameter %.20q twice", name)
			}
			if len(c.params) == maxParams {
				return fmt.Errorf("the challenge has more than %d parameters", maxParams)
			}
			c.params[name] = value
			p.skip(" \t")
			if p.i < len(p.s) && p.s[p.i] != ',' {
				return errors.New("the challenge has a parameter that no comma follows")
			}
			continue
		}
		if mark < len(p.s) && !strings.ContainsRune(" \t,", rune(p.s[mark])) {
			return errors.New("the challenge has a scheme that no space follows")
		}
		if len(*out) == maxChallenges {
			return fmt.Errorf("there are more than %d challenges", maxChallenges)
		}
		*out = append(*out, challenge{scheme: strings.ToLower(word), params: make(map[string]string)})
	}
}

func (p *challengeParser) skip(set string) {
	for p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0 {
		p.i++
	}
}

// token reads a token of RFC 9110, section 5.6.2.
func (p *challengeParser) token() string {
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			break
		}
		p.i++
	}
	return p.s[start:p.i]
}

// value reads a token or a quoted string. Some registries leave out the quotes of a URL, so an unquoted value ends at a comma
// or a space.
func (p *challengeParser) value() (string, error) {
	if p.i == len(p.s) || p.s[p.i] != '"' {
		start := p.i
		for p.i < len(p.s) && strings.IndexByte(" \t,\"", p.s[p.i]) < 0 {
			p.i++
		}
		return clean(p.s[start:p.i])
	}
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case '"':
			p.i++
			return clean(b.String())
		case '\\':
			if p.i++; p.i == len(p.s) {
				return "", errors.New("the challenge ends in a quoted string")
			}
			b.WriteByte(p.s[p.i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("the challenge ends in a quoted string")
}

func clean(s string) (string, error) {
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return "", errors.New("the challenge has a control character in a value")
		}
	}
	return s, nil
}
