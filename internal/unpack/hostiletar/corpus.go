package hostiletar

import (
	"bytes"
	"io"
)

// Case is one hostile archive.
type Case struct {
	Name    string
	Archive func() io.Reader // a new stream each time
	// Refused: the entry point must fail. Otherwise it must succeed.
	Refused bool
	// Layer: the archive has whiteouts. As a layer Refused holds; an entry point that takes no
	// layers (cp, ADD) refuses it in any case.
	Layer bool
	// Bomb: it is bounded only by the reader's limits.
	Bomb bool
}

// Corpus is every case. canary is the absolute path of a directory that is a sibling of each root,
// called "canary", with the files "file", "x", "passwd" and "dir/file".
func Corpus(canary string) []Case {
	var all []Case
	for _, part := range [][]Case{
		names(canary), symlinks(canary), hardlinks(canary), whiteouts(canary), kinds(), duplicates(),
		paxHeaders(), numbers(), sparse(), attributes(), structure(), compressed(), bombs(),
	} {
		all = append(all, part...)
	}
	return all
}

// refused and accepted make a case of an uncompressed archive.
func refused(name string, entries ...entry) Case { return plain(name, true, tarOf(entries...)) }

func accepted(name string, entries ...entry) Case { return plain(name, false, tarOf(entries...)) }

func plain(name string, refused bool, data []byte) Case {
	return Case{Name: name, Refused: refused, Archive: func() io.Reader { return bytes.NewReader(data) }}
}

// in groups cases under one name.
func in(group string, cases ...Case) []Case {
	for i := range cases {
		cases[i].Name = group + "/" + cases[i].Name
	}
	return cases
}

// layer marks cases that have whiteouts.
func layer(cases ...Case) []Case {
	for i := range cases {
		cases[i].Layer = true
	}
	return cases
}
