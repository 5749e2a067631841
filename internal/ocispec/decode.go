package ocispec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config is a decoded config.json. Linux.Seccomp is always nil; Solaris, Windows, VM, ZOS and FreeBSD as well.
type Config struct {
	specs.Spec

	// SeccompRaw is the exact text of linux.seccomp, as it stands in the document: the key under which a compiled
	// filter is kept, and what [DecodeSeccomp] takes. nil if the section is absent or null. It aliases [Decode]'s input.
	SeccompRaw []byte
	// Seccomp is what a start needs of linux.seccomp besides the filter.
	Seccomp SeccompHead
	// OtherPlatforms names the sections of other operating systems that are there, as "windows".
	OtherPlatforms []string

	nul string // path of a string that contains a NUL byte
}

// Decode reads a config.json. It checks syntax and types, not meaning: see [Validate]. An error is an *[Error].
func Decode(b []byte) (*Config, error) {
	r := &reader{src: string(b)}
	c := &Config{}
	r.document(func() { r.spec(&c.Spec) })
	if r.err != nil {
		return nil, r.err
	}
	if r.seccomp.end > 0 {
		c.SeccompRaw = b[r.seccomp.start:r.seccomp.end:r.seccomp.end]
	}
	c.Seccomp, c.OtherPlatforms, c.nul = r.head, r.others, r.nul
	return c, nil
}

// DecodeProcess reads a process.json. An error is an *[Error], with paths from the document's root ("user.uid").
func DecodeProcess(b []byte) (*specs.Process, error) {
	r := &reader{src: string(b)}
	p := &specs.Process{}
	r.document(func() { r.process(p) })
	return result(r, p)
}

// DecodeResources reads the resources of a container, as specs.LinuxResources. An error is an *[Error].
func DecodeResources(b []byte) (*specs.LinuxResources, error) {
	r := &reader{src: string(b)}
	l := &specs.LinuxResources{}
	r.document(func() { r.linuxResources(l) })
	return result(r, l)
}

// DecodeState reads a container's state. An error is an *[Error].
func DecodeState(b []byte) (*specs.State, error) {
	r := &reader{src: string(b)}
	s := &specs.State{}
	r.document(func() { r.state(s) })
	return result(r, s)
}

// DecodeSeccomp reads [Config.SeccompRaw]. An error is an *[Error], with paths that begin with "linux.seccomp".
func DecodeSeccomp(raw []byte) (*specs.LinuxSeccomp, error) {
	r := seccompReader(raw)
	s := &specs.LinuxSeccomp{}
	r.document(func() { r.linuxSeccomp(s) })
	return result(r, s)
}

// document reads the one object that a document is.
func (r *reader) document(read func()) {
	if r.peek() == '{' {
		read()
		r.end()
		return
	}
	r.wrongType("an object")
}

// result is v, or nil after an error. A typed nil would not be a nil error, hence not r.err itself. A NUL byte in a
// string is refused here, as there is no [Validate] that would know of it.
func result[T any](r *reader, v *T) (*T, error) {
	if r.err == nil && r.nul != "" {
		return nil, &Error{Field: r.nul, Reason: nulReason}
	}
	if r.err != nil {
		return nil, r.err
	}
	return v, nil
}

const nulReason = "contains a NUL byte"
