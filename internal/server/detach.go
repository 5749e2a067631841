package server

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/engine"
)

// errDetach says that the client typed the keys that detach it.
var errDetach = errors.New("detached")

// detachKeys reads keys as Docker has them: "ctrl-p,ctrl-q", single characters or ctrl-X. "" is the
// default.
func detachKeys(s string) ([]byte, error) {
	if s == "" {
		return []byte{16, 17}, nil
	}
	var keys []byte
	for k := range strings.SplitSeq(s, ",") {
		rest, ctrl := strings.CutPrefix(k, "ctrl-")
		switch {
		case len(k) == 1:
			keys = append(keys, k[0])
		case ctrl && len(rest) == 1 && rest[0] >= 'a' && rest[0] <= 'z':
			keys = append(keys, rest[0]-'a'+1)
		case ctrl && len(rest) == 1 && strings.Contains("@[\\]^_", rest):
			keys = append(keys, map[byte]byte{'@': 0, '[': 27, '\\': 28, ']': 29, '^': 30, '_': 31}[rest[0]])
		default:
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid detach keys (" + s + "): Unknown character: '" + k + "'")
		}
	}
	return keys, nil
}

// copyIn gives a process what the client types, until it ends (nil) or types keys (errDetach). keys
// is nil when there are none.
func copyIn(s engine.Stream, r io.Reader, keys []byte) error {
	buf := make([]byte, 32<<10)
	held := 0 // of keys, seen and kept back
	for {
		n, err := r.Read(buf)
		data := buf[:n]
		if len(keys) > 0 && n > 0 {
			var out []byte
			for _, b := range data {
				if b == keys[held] {
					if held++; held == len(keys) {
						if len(out) > 0 {
							_, _ = s.Write(out)
						}
						return errDetach
					}
					continue
				}
				out = append(append(out, keys[:held]...), b)
				if held > 0 && b == keys[0] {
					out, held = bytes.TrimSuffix(out, keys[:1]), 1
					continue
				}
				held = 0
			}
			data = out
		}
		if len(data) > 0 {
			if _, err := s.Write(data); err != nil {
				// The process takes no more input. What the client sends on is thrown away.
				_, err := io.Copy(io.Discard, r)
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
