package image

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// applyChanges applies Dockerfile instructions to a config, those that `docker import
// --change` takes: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME,
// WORKDIR.
func applyChanges(c *dockerspec.DockerOCIImageConfig, changes []string) error {
	for _, change := range changes {
		if err := applyChange(c, strings.TrimSpace(change)); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("change %q: %v", shorten(change), err))
		}
	}
	return nil
}

func applyChange(c *dockerspec.DockerOCIImageConfig, change string) error {
	word, rest, _ := strings.Cut(change, " ")
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return fmt.Errorf("%s requires at least one argument", strings.ToUpper(word))
	}
	switch strings.ToUpper(word) {
	case "CMD":
		c.Cmd = command(rest)
	case "ENTRYPOINT":
		c.Entrypoint = command(rest)
	case "USER":
		c.User = rest
	case "WORKDIR":
		if !strings.HasPrefix(rest, "/") {
			rest = "/" + rest
		}
		c.WorkingDir = rest
	case "STOPSIGNAL":
		c.StopSignal = rest
	case "ONBUILD":
		c.OnBuild = append(c.OnBuild, rest)
	case "EXPOSE":
		for _, p := range strings.Fields(rest) {
			port, proto, ok := strings.Cut(p, "/")
			if !ok {
				proto = "tcp"
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || proto != "tcp" && proto != "udp" && proto != "sctp" {
				return fmt.Errorf("invalid port %q", p)
			}
			set(&c.ExposedPorts, port+"/"+proto)
		}
	case "VOLUME":
		volumes := strings.Fields(rest)
		if list, ok := jsonList(rest); ok {
			volumes = list
		}
		for _, v := range volumes {
			set(&c.Volumes, v)
		}
	case "ENV":
		pairs, err := keyValues(rest)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			setEnv(c, p[0], p[1])
		}
	case "LABEL":
		pairs, err := keyValues(rest)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if c.Labels == nil {
				c.Labels = make(map[string]string)
			}
			c.Labels[p[0]] = p[1]
		}
	default:
		return fmt.Errorf("%s is not a valid change command", strings.ToUpper(word))
	}
	return nil
}

func set(m *map[string]struct{}, key string) {
	if *m == nil {
		*m = make(map[string]struct{})
	}
	(*m)[key] = struct{}{}
}

func setEnv(c *dockerspec.DockerOCIImageConfig, key, value string) {
	for i, e := range c.Env {
		if strings.HasPrefix(e, key+"=") {
			c.Env[i] = key + "=" + value
			return
		}
	}
	c.Env = append(c.Env, key+"="+value)
}

// command is the exec form, a JSON list, or else a line for the shell.
func command(s string) []string {
	if list, ok := jsonList(s); ok {
		return list
	}
	return []string{"/bin/sh", "-c", s}
}

func jsonList(s string) ([]string, bool) {
	var list []string
	if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &list) != nil {
		return nil, false
	}
	return list, true
}

// keyValues reads "KEY=VALUE KEY2=\"a b\"", or the old form "KEY the rest".
func keyValues(s string) ([][2]string, error) {
	words, err := splitWords(s)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(words[0], "=") {
		key, value, ok := strings.Cut(s, " ")
		if !ok {
			return nil, fmt.Errorf("%q must be KEY=VALUE", s)
		}
		return [][2]string{{key, strings.TrimSpace(value)}}, nil
	}
	var out [][2]string
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q must be KEY=VALUE", w)
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}

// splitWords splits at spaces outside of quotes, and takes quotes and backslashes away.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, rune(0)
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			quote, in = r, true
		case unicode.IsSpace(r):
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
