package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// parseVolumes sorts -v specs into binds, SOURCE:TARGET[:OPTIONS], and anonymous volumes.
// A source that begins with "." is made absolute.
func parseVolumes(specs []string) (binds []string, anonymous map[string]struct{}, err error) {
	anonymous = make(map[string]struct{})
	seen := make(map[string]bool)
	for _, spec := range specs {
		if seen[spec] {
			continue
		}
		seen[spec] = true
		source, err := volumeSource(spec)
		if err != nil {
			return nil, nil, err
		}
		if source == "" {
			anonymous[spec] = struct{}{}
			continue
		}
		if host, rest, ok := strings.Cut(spec, ":"); ok && strings.HasPrefix(host, ".") {
			if abs, err := filepath.Abs(host); err == nil {
				spec = abs + ":" + rest
			}
		}
		binds = append(binds, spec)
	}
	return binds, anonymous, nil
}

// volumeSource checks the form of a spec and returns its source, empty for an anonymous volume.
// As Docker does it for Windows' drives, one letter before a colon is no section of its own.
func volumeSource(spec string) (string, error) {
	switch len(spec) {
	case 0:
		return "", errors.New("invalid empty volume spec")
	case 1, 2:
		return "", nil
	}
	var sections []string
	section := ""
	for _, r := range spec + "\x00" {
		letter := []rune(section)
		switch {
		case r == ':' && len(letter) == 1 && unicode.IsLetter(letter[0]):
			section += ":"
		case r != ':' && r != 0:
			section += string(r)
		case section == "":
			return "", fmt.Errorf("invalid spec: %s: empty section between colons", spec)
		case r == ':' && len(sections) == 2:
			return "", fmt.Errorf("invalid spec: %s: too many colons", spec)
		default:
			sections = append(sections, section)
			section = ""
		}
	}
	if len(sections) < 2 {
		return "", nil
	}
	return sections[0], nil
}
