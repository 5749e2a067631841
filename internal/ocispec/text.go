package ocispec

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string literal, whose opening quote is the next byte. Without escapes and in valid UTF-8, as nearly
// all are, the result is a part of the document and nothing is copied.
func (r *reader) text() (string, bool) {
	start := r.pos + 1
	ascii := true
	for i := start; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '"':
			s := r.src[start:i]
			if !ascii && !utf8.ValidString(s) {
				return r.unquote(start)
			}
			r.pos = i + 1
			return s, true
		case c == '\\':
			return r.unquote(start)
		case c < ' ':
			r.pos = i
			r.syntax("control character in a string")
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.pos = len(r.src)
	r.syntax("the document ends within a string")
	return "", false
}

// unquote reads a string literal that has escapes or invalid UTF-8. As in encoding/json, invalid bytes and lone
// surrogates become U+FFFD.
func (r *reader) unquote(start int) (string, bool) {
	var b strings.Builder
	for i := start; i < len(r.src); {
		c := r.src[i]
		switch {
		case c == '"':
			r.pos = i + 1
			return b.String(), true
		case c == '\\':
			n := r.escape(&b, i)
			if n == 0 {
				return "", false
			}
			i += n
		case c < ' ':
			r.pos = i
			r.syntax("control character in a string")
			return "", false
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			i++
		default:
			char, n := utf8.DecodeRuneInString(r.src[i:])
			b.WriteRune(char)
			i += n
		}
	}
	r.pos = len(r.src)
	r.syntax("the document ends within a string")
	return "", false
}

// escape reads the escape at src[i:] and returns its length, 0 after an error. b may be nil.
func (r *reader) escape(b *strings.Builder, i int) int {
	var c byte
	if i+1 < len(r.src) {
		c = r.src[i+1]
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return r.unicodeEscape(b, i)
	default:
		r.pos = i
		r.syntax("unknown escape in a string")
		return 0
	}
	if b != nil {
		b.WriteByte(c)
	}
	return 2
}

func (r *reader) unicodeEscape(b *strings.Builder, i int) int {
	char := hex4(r.src[i:])
	if char < 0 {
		r.pos = i
		r.syntax(`want four hexadecimal digits after \u`)
		return 0
	}
	n := 6
	if utf16.IsSurrogate(char) {
		if pair := utf16.DecodeRune(char, hex4(r.src[i+6:])); pair != utf8.RuneError {
			char, n = pair, 12
		} else {
			char = utf8.RuneError
		}
	}
	if b != nil {
		b.WriteRune(char)
	}
	return n
}

// hex4 is the number in an escape \uXXXX at the beginning of s, or -1.
func hex4(s string) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var n rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 + rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 + rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
}

// skipText checks a string literal, whose opening quote is the next byte, without making its value.
func (r *reader) skipText() bool {
	for i := r.pos + 1; i < len(r.src); {
		switch c := r.src[i]; {
		case c == '"':
			r.pos = i + 1
			return true
		case c == '\\':
			n := r.escape(nil, i)
			if n == 0 {
				return false
			}
			i += n
		case c < ' ':
			r.pos = i
			r.syntax("control character in a string")
			return false
		default:
			i++
		}
	}
	r.pos = len(r.src)
	r.syntax("the document ends within a string")
	return false
}
