package spec

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// profiles keeps the seccomp profiles that were made, by the capabilities they depend on: nearly all
// containers have one of a few sets, and a profile is most of a document's bytes.
type profiles struct {
	mu   sync.Mutex
	made []madeProfile // the last used one first
}

type madeProfile struct {
	key     string
	seccomp *specs.LinuxSeccomp
	doc     json.RawMessage
}

// maxProfiles bounds what is kept.
const maxProfiles = 32

var kept profiles

// get finds a profile, or makes it. It is shared: nobody changes it.
func (p *profiles) get(key string, makeIt func() (*specs.LinuxSeccomp, error)) (*specs.LinuxSeccomp, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.made, func(m madeProfile) bool { return m.key == key }); i >= 0 {
		m := p.made[i]
		copy(p.made[1:i+1], p.made[:i])
		p.made[0] = m
		return m.seccomp, nil
	}
	s, err := makeIt()
	if err != nil || s == nil {
		return s, err
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if len(p.made) == maxProfiles {
		p.made = p.made[:maxProfiles-1]
	}
	p.made = slices.Insert(p.made, 0, madeProfile{key, s, doc})
	return s, nil
}

// doc is the JSON of a profile that get has given out, nil of any other.
func (p *profiles) doc(s *specs.LinuxSeccomp) json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.made {
		if m.seccomp == s {
			return m.doc
		}
	}
	return nil
}

// Encode is s as JSON, config.json. It is json.Marshal, but for the time that the seccomp profile takes.
func Encode(s *specs.Spec) ([]byte, error) {
	if s.Linux == nil || s.Linux.Seccomp == nil {
		return json.Marshal(s)
	}
	doc := kept.doc(s.Linux.Seccomp)
	if doc == nil {
		return json.Marshal(s)
	}
	// A field of the outer struct hides the one of the inner.
	type linux struct {
		*specs.Linux
		Seccomp json.RawMessage `json:"seccomp"`
	}
	return json.Marshal(struct {
		*specs.Spec
		Linux linux `json:"linux"`
	}{s, linux{s.Linux, doc}})
}

// profileKey names a profile: its kind and the capabilities that it depends on.
func profileKey(kind string, caps []string) string {
	sorted := slices.Clone(caps)
	slices.Sort(sorted)
	return kind + "\x00" + strings.Join(sorted, "\x00")
}
