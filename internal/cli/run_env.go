package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEnvFile bounds a file of variables or labels, in bytes.
const maxEnvFile = 16 << 20

// checkEnv takes NAME=VALUE, or NAME alone, whose value comes from hull's environment if it is
// there.
func checkEnv(s string) (string, error) {
	name, _, has := strings.Cut(s, "=")
	if name == "" {
		return "", errors.New("invalid environment variable: " + s)
	}
	if has {
		return s, nil
	}
	if v, ok := os.LookupEnv(name); ok {
		return name + "=" + v, nil
	}
	return s, nil
}

// checkLabel takes KEY[=VALUE].
func checkLabel(s string) (string, error) {
	key, _, _ := strings.Cut(s, "=")
	key = strings.TrimLeft(key, " \t")
	if key == "" {
		return "", fmt.Errorf("invalid label '%s': empty name", s)
	}
	if strings.ContainsAny(key, " \t") {
		return "", fmt.Errorf("label '%s' contains whitespaces", key)
	}
	return s, nil
}

// pairMap makes a map of KEY=VALUE strings; the last one of a key counts.
func pairMap(pairs []string) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}

// readPairs reads files of KEY=VALUE lines and adds the pairs of the command line.
func readPairs(files, pairs []string, lookup func(string) (string, bool)) ([]string, error) {
	var all []string
	for _, name := range files {
		more, err := readPairFile(name, lookup)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return append(all, pairs...), nil
}

func readPairFile(name string, lookup func(string) (string, bool)) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pairs, err := parsePairs(io.LimitReader(f, maxEnvFile+1), lookup)
	if err != nil {
		return nil, fmt.Errorf("invalid env file (%s): %w", name, err)
	}
	return pairs, nil
}

// parsePairs reads lines of KEY=VALUE. Lines that are empty or begin with # are nothing; a key
// alone takes the value that lookup has for it, and is left out without one.
func parsePairs(r io.Reader, lookup func(string) (string, bool)) ([]string, error) {
	pairs := []string{}
	total := 0
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		raw := lines.Bytes()
		if total += len(raw) + 1; total > maxEnvFile {
			return nil, fmt.Errorf("it is over %d bytes", maxEnvFile)
		}
		if !utf8.Valid(raw) {
			return nil, fmt.Errorf("invalid utf8 bytes at line %d: %v", n, raw)
		}
		line := string(raw)
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, has := strings.Cut(line, "=")
		switch {
		case key == "":
			return nil, fmt.Errorf("no variable name on line '%s'", line)
		case strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("variable '%s' contains whitespaces", key)
		case has:
			pairs = append(pairs, line)
		case lookup != nil:
			if v, ok := lookup(line); ok {
				pairs = append(pairs, key+"="+v)
			}
		}
	}
	return pairs, lines.Err()
}

// withProxies adds the proxy variables of the user's configuration, except those that are given,
// and keeps the last of each name.
func (a *App) withProxies(env []string) []string {
	proxies, ok := a.settings().Proxies[a.client.url()]
	if !ok {
		proxies = a.settings().Proxies["default"]
	}
	at := make(map[string]int)
	var all []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			all[i] = e
			continue
		}
		at[name] = len(all)
		all = append(all, e)
	}
	for _, p := range [][2]string{
		{"HTTP_PROXY", proxies.HTTP}, {"HTTPS_PROXY", proxies.HTTPS}, {"NO_PROXY", proxies.No},
		{"FTP_PROXY", proxies.FTP}, {"ALL_PROXY", proxies.All},
	} {
		for _, name := range []string{p[0], strings.ToLower(p[0])} {
			if _, ok := at[name]; !ok && p[1] != "" {
				all = append(all, name+"="+p[1])
			}
		}
	}
	return all
}
