package main

import "path/filepath"

// scenario is what one new disk is for: steps in order, each of which may be a sample.
type scenario struct {
	name  string
	steps []step
	not   []string // engines that are left out, for a reason that notes gives
}

// step is one command. One with a goal or a report is a sample; others prepare the next.
type step struct {
	name  string // "" is not a sample
	verb  string
	args  func(b *bench) []string
	goal  float64 // × the best peer; 0: only reported
	limit float64 // milliseconds, hulld's own; 0: none
	fresh bool    // begin with an empty second registry
	disk  bool    // the sample is the disk that it takes
	times int     // how often in a row; 0 is once
}

func fixed(args ...string) func(*bench) []string { return func(*bench) []string { return args } }

// at is an image of the first registry.
func at(repo string) func(*bench) []string {
	return func(b *bench) []string { return []string{b.from.host() + "/" + repo + ":latest"} }
}

// target is the image in the second registry.
func (b *bench) target() string { return b.to.host() + "/pushed:latest" }

func retag(from func(*bench) []string) step {
	return step{verb: verbTag, fresh: true, args: func(b *bench) []string { return []string{from(b)[0], b.target()} }}
}

func push(name string, goal float64) step {
	return step{name: name, verb: verbPush, goal: goal, args: func(b *bench) []string { return []string{b.target()} }}
}

const (
	loadedName = "bench.local/loaded:latest"
	manyImages = 500
)

var scenarios = []scenario{
	{name: "pull debian gzip", steps: []step{{name: "pull debian gzip", verb: verbPull, args: at("debian-gzip"), goal: 0.5}}},
	{name: "pull debian zstd", steps: []step{{name: "pull debian zstd", verb: verbPull, args: at("debian-zstd"), goal: 0.5}}},
	{name: "pull synthetic gzip, push, save", steps: []step{
		{name: "pull synthetic gzip", verb: verbPull, args: at("synthetic-gzip"), goal: 0.45},
		retag(at("synthetic-gzip")),
		push("push, new", 0.6),
		push("push, all there", 0.6),
		{name: "save", verb: verbSave, args: func(b *bench) []string { return []string{b.saved(), at("synthetic-gzip")(b)[0]} }},
		{verb: verbCreate, args: at("synthetic-gzip")},
		{name: "second container", verb: verbCreate, args: at("synthetic-gzip"), disk: true},
	}},
	{name: "pull synthetic zstd", steps: []step{{name: "pull synthetic zstd", verb: verbPull, args: at("synthetic-zstd"), goal: 0.3}}},
	{name: "load, push loaded", steps: []step{
		{name: "load", verb: verbLoad, args: func(b *bench) []string { return []string{filepath.Join(b.scratch, "load.tar")} }, goal: 0.35},
		retag(fixed(loadedName)),
		push("push of plain layers, new", 0), // ctr sends them plain
		push("push of plain layers, all there", 0.6),
	}},
	{name: "import", steps: []step{{name: "import debian", verb: verbImport, args: func(b *bench) []string { return []string{b.debian, "bench.local/imported:latest"} }}}},
	{name: "images", not: []string{"podman"}, steps: []step{
		{verb: verbLoad, args: func(b *bench) []string { return []string{filepath.Join(b.scratch, "many.tar")} }},
		{name: "images, 500 of them", verb: verbImages, args: fixed(), limit: 10, times: 20},
	}},
}
