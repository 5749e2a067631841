// Package hostiletar makes hostile archives by code: more than 200, each with one verdict
// (SECURITY.md, "Hostile tar corpus"). Every entry point of Hull that reads an archive (pull,
// load, import, cp, ADD) runs them all and must agree.
//
//	canary, err := hostiletar.NewCanary(dir)       // files that no archive may touch or read
//	for _, c := range hostiletar.Corpus(canary.Path) {
//		err := extract(c.Archive())                // must fail if c.Refused, else succeed
//		err = canary.Check()                       // must be nil either way
//	}
//
// An archive that is accepted does no harm: what it names lies inside the root, and List shows what it made.
// Cases with Bomb set never end, or end after terabytes: the entry point must have limits
// of tens of MiB and thousands of entries (or whatever it has, if the test has the time).
package hostiletar
