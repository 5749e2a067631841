# Hull's build. `make` prints what there is.
#
# Everything is built without cgo. Programs land in bin/, caches in .cache/.

GO      ?= go
BIN     ?= bin
PREFIX  ?= /usr/local
DESTDIR ?=

# keel starts at an entry point of its own, before the Go runtime's; see docs/dev/decisions.
# KEEL_ENTRY is the linker's -E flag with that symbol, empty for Go's own entry.
KEEL_ENTRY   ?= -E github.com/hull-dev/hull/internal/seal.entry
KEEL_LDFLAGS ?= -s -w $(KEEL_ENTRY)
# A shim never collects garbage, so it pays for the new collector (Go 1.25) without using it: mark
# bits at the end of each span are a page each, 45 KiB a container (TestRootMemory).
KEEL_GO      ?= GOEXPERIMENT=nogreenteagc
HULL_LDFLAGS ?= -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
VERSION      ?= 0.1-dev
COMMIT       ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
GOBUILD       = CGO_ENABLED=0 $(GO) build -trimpath

# The runtime that the black-box suites test: a path, or a name in PATH (RUNTIME=runc).
RUNTIME  ?= $(BIN)/keel
FUZZTIME ?= 30s
# Packages with tests: Go's own pattern, for `make test PKGS=./internal/cgroup`.
PKGS     ?= ./...
# Names of the tests that need root.
ROOTTESTS = ^TestRoot

.DEFAULT_GOAL := help
.PHONY: help networks build build-arm64 test test-root mutants conformance conformance-baseline engines images containers cli lint vet fuzz fuzz-list \
	bench-runtime bench-attach bench-image bench-engine cover check demo ledgers install clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs into bin/
	@mkdir -p $(BIN)
	$(KEEL_GO) $(GOBUILD) -ldflags '$(KEEL_LDFLAGS)' -o $(BIN)/keel ./cmd/keel
	$(GOBUILD) -ldflags '$(HULL_LDFLAGS)' -o $(BIN)/ ./cmd/hull ./cmd/hull-build ./cmd/hull-init ./cmd/hulld

build-arm64: ## build and vet everything for arm64 (the tests of that machine are not run here)
	@mkdir -p $(BIN)/arm64
	$(KEEL_GO) GOARCH=arm64 $(GOBUILD) -ldflags '$(KEEL_LDFLAGS)' -o $(BIN)/arm64/keel ./cmd/keel
	GOARCH=arm64 $(GOBUILD) -ldflags '$(HULL_LDFLAGS)' -o $(BIN)/arm64/ ./cmd/hull ./cmd/hull-build ./cmd/hull-init ./cmd/hulld
	@$(MAKE) --no-print-directory vet GOARCH=arm64

test: ## unit tests and the rules of the repository: no root, under a minute
	CGO_ENABLED=0 $(GO) test -skip '$(ROOTTESTS)' $(PKGS)

test-root: build ## tests that need root on Linux: real namespaces, cgroups, mounts
	CGO_ENABLED=0 HULL_KEEL=$(abspath $(BIN)/keel) $(GO) test -p 1 -count=1 -run '$(ROOTTESTS)' ./internal/... ./cmd/... ./test/exploits

mutants: ## take out each defence in turn: the exploit test must fail then (MUTANTS='-only CVE-2019-5736')
	$(GO) run ./test/exploits/mutants $(MUTANTS)

conformance: ## the OCI runtime validation programs against RUNTIME, compared with runc's outcome
	@[ "$(RUNTIME)" != "$(BIN)/keel" ] || $(MAKE) --no-print-directory build
	$(GO) run ./test/conformance -runtime $(RUNTIME)

conformance-baseline: ## record what Debian's runc does with the validation programs
	$(GO) run ./test/conformance -runtime runc -update-baseline

cli: build ## hull beside docker's client: requests, output, exit codes
	HULL_TEST_CLI=1 HULL_BIN=$(abspath $(BIN)) $(GO) test -count=1 -timeout 10m -v ./test/cli

images: build ## docker's client against hulld and dockerd; hostile archives and registries; hulld killed, its disk full
	HULL_TEST_IMAGES=1 HULL_BIN=$(abspath $(BIN)) $(GO) test -count=1 -timeout 20m -v ./test/images

containers: build ## containers with the docker client: hulld beside dockerd, and killed at each step
	HULL_TEST_CONTAINERS=1 HULL_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 30m ./test/containers

engines: ## real dockerd and podman with RUNTIME as their runtime
	@[ "$(RUNTIME)" != "$(BIN)/keel" ] || $(MAKE) --no-print-directory build
	HULL_TEST_ENGINES=1 HULL_TEST_RUNTIME=$(RUNTIME) $(GO) test -count=1 -timeout 15m -v ./test/engines

check: build lint test test-root conformance engines images cli networks ## all the checks that CI runs

lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$out" ] || { echo "gofmt -w $$out"; exit 1; }
	@$(MAKE) --no-print-directory vet
	CGO_ENABLED=0 $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks inherit,-SA1019,-ST1005 ./... # SA1019: a drop-in serves config.json's deprecated fields too; ST1005: messages are Docker's

# launch's steps hold addresses as words on purpose (its package comment, obligation 2), which
# the check unsafeptr cannot know; everything else in it is vetted as usual.
vet: export CGO_ENABLED = 0
vet: ## go vet, for GOARCH
	GOARCH=$(GOARCH) $(GO) vet $$(GOARCH=$(GOARCH) $(GO) list ./... | grep -v '/internal/launch$$')
	GOARCH=$(GOARCH) $(GO) vet -unsafeptr=false ./internal/launch

fuzz-list: ## print the fuzz targets, "package target" a line
	@for f in $$(grep -rl --include='*_test.go' '^func Fuzz' internal cmd 2>/dev/null); do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f | sed "s|^|./$$(dirname $$f) |"; done | sort -u

# Minimizing what is merely new takes a minute each time by default, and all the time there is.
fuzz: ## run each fuzz target for FUZZTIME (30s), one after the other, and print a line for each
	@mkdir -p .cache
	@$(MAKE) --no-print-directory fuzz-list | { failed=0; while read -r pkg target; do \
		log=.cache/fuzz.log; \
		if CGO_ENABLED=0 $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg </dev/null >$$log 2>&1; then \
			echo "ok   $$pkg $$target: $$(sed -n 's/^fuzz: elapsed: //p' $$log | tail -1)"; \
		else failed=1; echo "FAIL $$pkg $$target"; tail -40 $$log; fi; done; exit $$failed; }

bench-runtime: build ## keel, crun and runc side by side, with goals (BENCHFLAGS=-short for a quick look)
	$(GO) run ./test/bench/runtime -keel $(BIN)/keel $(BENCHFLAGS)

bench-attach: ## what it takes to connect a container: 1 and 500 present, 1,000 published ports (root)
	@CGO_ENABLED=0 $(GO) test -run '^$$' -bench RootAttach -benchtime 1x ./internal/network | grep -v -e ^goos -e ^goarch -e ^pkg -e ^cpu -e ^PASS

bench-image: build ## hulld, docker, podman and ctr: pull, push, load side by side, with goals (BENCHFLAGS=-quick for a look)
	$(GO) run ./test/bench/image -bin $(BIN) $(BENCHFLAGS)

bench-engine: build ## hull, docker and podman: run, exec, stop, ps, memory side by side, with goals (BENCHFLAGS=-short)
	$(GO) run ./test/bench/engine -bin $(BIN) $(BENCHFLAGS)

cover: ## unit test coverage, by function, the least covered first
	CGO_ENABLED=0 $(GO) test -skip '$(ROOTTESTS)' -coverprofile=.cache/cover.out ./internal/... ./cmd/...
	@$(GO) tool cover -func=.cache/cover.out | sort -k3 -n | tail -40

networks: build ## names, isolation, published ports, flushed rules, hulld killed: in network namespaces (root)
	HULL_TEST_NETWORKS=1 HULL_BIN=$(abspath $(BIN)) CGO_ENABLED=0 $(GO) test -count=1 ./test/networks

demo: build ## nginx from Debian's packages in a container answers on a published port
	test/demo.sh $(BIN)

ledgers: ## rewrite the ledger of the packages linked into keel
	$(GO) test . -run Rules -update

install: build ## install the programs to $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/keel $(BIN)/hull $(BIN)/hulld $(DESTDIR)$(PREFIX)/bin/

clean: ## remove bin/ and .cache/
	rm -rf $(BIN) .cache
