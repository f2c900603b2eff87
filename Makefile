# Go, make and git are enough for everything that `make help` lists. The race
# detector also needs a C compiler; `make test` says so when there is none.

.DEFAULT_GOAL := help
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# What needs root and a machine for itself is `make e2e`; what needs helm is `make chart`, which is part of it.
PKGS     := $(shell $(GO) list ./... | grep -v -e '/e2e/[^h]' -e '/charts$$')
LDFLAGS  := -s -w -X github.com/eastway/eastway/internal/version.release=$(VERSION)
ARCHS    ?= amd64 arm64
FUZZTIME ?= 30s
SEEDS    ?= 1000
FROM     ?= 1
# The linter has vet, and traces of tests need no DWARF: linking is a good part of what the race detector costs.
RACEFLAGS := -race -vet=off -ldflags=-w
# The relays' tests move gigabytes; with the race detector on two busy cores that takes a while.
TESTTIME ?= 15m
# One package of e2e/ after the other; this bounds each.
E2ETIME  ?= 35m

# Each tool has a module file of its own, so that its dependencies stay out of go.mod.
LINT := $(GO) tool -modfile=tools/golangci-lint.mod golangci-lint
BUF  := $(GO) tool -modfile=tools/buf.mod buf
HELM_DOCS := $(GO) tool -modfile=tools/helm-docs.mod helm-docs
CONTROLLER_GEN := $(GO) tool -modfile=tools/controller-gen.mod controller-gen

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: build ## two regions on this machine: break things and count what fails (about 95 s)
	bin/eastway demo

.PHONY: build
build: ## build bin/eastway
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/eastway ./cmd/eastway

# Images name the commit's date, not the build's: the same commit gives the same digest.
.PHONY: image
image: ## build bin/image: a docker archive per architecture and an OCI layout (ARCHS="amd64 arm64")
	@set -e; for arch in $(ARCHS); do echo "bin/image/eastway-$$arch"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/image/eastway-$$arch ./cmd/eastway; \
	done
	@$(GO) run ./internal/image/pack -output bin/image -version '$(VERSION)' -revision "$$(git rev-parse HEAD)" \
		-created "$$(git show -s --format=%ct HEAD)" $(foreach arch,$(ARCHS),-binary $(arch)=bin/image/eastway-$(arch))

.PHONY: chart
chart: ## lint charts/eastway and test what it renders (builds helm: some minutes the first time)
	$(GO) test -count=1 -timeout 20m ./charts/...

e2e: chart

.PHONY: chart-readme
chart-readme: ## regenerate the chart's README from its values
	$(HELM_DOCS) -c charts -s file -l warning

.PHONY: quick
quick: ## a small change in under a minute: tests of what differs from main and of what imports it, fast linters (BASE=REVISION)
	GO='$(GO)' LINT='$(LINT)' sh tools/quick.sh $(BASE)

.PHONY: test
test: verify-tidy ## lint, all tests with the race detector (also the inputs that fuzzing found), 300 simulated worlds
	+$(MAKE) -j2 --output-sync=target lint race # the tests mostly wait, the linter mostly computes
	+$(MAKE) sim SEEDS=300 # without the race detector, which is five times slower
	$(GO) test -run '^TestDocumentsHaveCommands$$' ./e2e/drills # what e2e would find after half an hour
	+$(MAKE) istio-api

.PHONY: istio-api
istio-api: ## compare the fields that docs/istio.md is about with those of Istio's API
	$(GO) test -modfile=tools/istio.mod ./tools/istio/fields.go ./tools/istio/fields_test.go

.PHONY: unit
unit: ## all tests, without the race detector
	$(GO) test -timeout $(TESTTIME) $(PKGS)

.PHONY: race
race: ## all tests with the race detector (needs gcc; without it: unit)
	@if command -v "$$($(GO) env CC)" >/dev/null 2>&1; then \
		set -x; CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -timeout $(TESTTIME) $(PKGS); \
	elif [ -n "$$CI" ]; then \
		echo 'make race: no C compiler: install gcc (e.g. apt-get install gcc libc6-dev)' >&2; exit 1; \
	else \
		set -x; $(GO) test -timeout $(TESTTIME) $(PKGS) && set +x && \
		echo 'make race: WITHOUT the race detector: it needs gcc, which is not installed'; \
	fi

.PHONY: sim
sim: ## simulated worlds: SEEDS=1000 of them from FROM=1; prints how fast, and the shortest trace of what breaks a rule
	$(GO) run ./internal/sim/hunt -seeds $(SEEDS) -from $(FROM)

.PHONY: sim-mutations
sim-mutations: ## break the product's rules one by one: the simulation has to find each (10 minutes)
	$(GO) run ./internal/sim/hunt -mutations

.PHONY: bulk
bulk: ## what the race detector is too slow for, at full size: 1 GiB each way, 10,000 connections, what the simulation found
	$(GO) test -count=1 -timeout $(TESTTIME) -run '^TestPath(Gigabyte|ShortConnections)$$' ./failover
	$(GO) test -count=1 -timeout $(TESTTIME) -run '^TestFound$$' ./internal/sim

.PHONY: hostile
hostile: ## attacks on real listeners, each for a minute: what they cost at most
	$(GO) test -count=1 -v -timeout 30m ./e2e/hostile -hostile.for=1m

.PHONY: e2e
e2e: ## what needs root: real Kubernetes clusters, nftables, an emulated WAN (builds Kubernetes: 10 minutes the first time)
	+$(MAKE) -j2 e2e-clusters e2e-vanish # the second mostly waits, for four minutes

.PHONY: e2e-clusters e2e-vanish
e2e-clusters:
	$(GO) test -count=1 -p 1 -timeout $(E2ETIME) $(shell $(GO) list ./e2e/... | grep -v -e '/e2e/vanish$$' -e '/e2e/paths$$' -e '/e2e/hostile$$')
e2e-vanish:
	$(GO) test -count=1 ./e2e/vanish ./e2e/paths

SCALE := bin/e2e/scale
.PHONY: scale
scale: ## measure with 1,000 and with 10,000 services on a real API server: docs/scale.md (root; 30 minutes on two cores)
	@mkdir -p $(SCALE)
	$(GO) run ./e2e/scale --services 1000 --json $(SCALE)/1000.json
	$(GO) run ./e2e/scale --services 10000 --json $(SCALE)/10000.json --against $(SCALE)/1000.json

.PHONY: drills
drills: ## break services, zones, proxies and clusters under load, in file mode and on two real clusters: a table for each, JSON in bin/e2e/drills (root; 15 minutes)
	$(GO) test -v -count=1 -timeout $(E2ETIME) ./e2e/drills

.PHONY: once
once: ## send a million POSTs and a million GETs through 200 faults, and count what was executed (20 minutes; ARGS='-posts 100000')
	$(GO) run ./e2e/once $(ARGS)

.PHONY: clusters
clusters: ## start two Kubernetes clusters of two nodes each on this computer (root; ARGS='--clusters 3')
	$(GO) run ./e2e/cluster up $(ARGS)

.PHONY: clusters-down
clusters-down: ## remove them, or what a crash left of them
	$(GO) run ./e2e/cluster down $(ARGS)

.PHONY: fuzz
fuzz: ## search: run every fuzz target for FUZZTIME (30s); keeps what it finds as an input that the tests run
	GO='$(GO)' sh tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## run every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: lint
lint: ## check formatting, house rules and package borders
	$(LINT) run --allow-serial-runners ./...

.PHONY: fmt
fmt: ## format all Go files
	$(LINT) fmt

# helm installs what lies in crds/ and leaves alone what the cluster has already, such as another MCS implementation's.
CRDS := charts/eastway/crds
.PHONY: generate
generate: generate-crds ## regenerate protobuf code, deep copies and CRDs
	$(BUF) generate

.PHONY: generate-crds
generate-crds:
	$(CONTROLLER_GEN) object crd:allowDangerousTypes=true paths=./discovery/api/... output:crd:dir=$(CRDS) # float64, as Istio has it
	install -m 0644 "$$($(GO) list -m -f '{{.Dir}}' sigs.k8s.io/mcs-api)"/config/crd/*.yaml $(CRDS)

.PHONY: verify-generate
verify-generate: ## fail if generated files do not match their sources (slow: builds buf and controller-gen)
	$(BUF) lint
	$(MAKE) generate
	git diff --exit-code -- '*.pb.go' 'discovery/api/*/zz_generated.*' $(CRDS)

.PHONY: tidy
tidy: ## tidy go.mod
	$(GO) mod tidy

.PHONY: verify-tidy
verify-tidy: ## fail if go.mod is not tidy
	@$(GO) mod tidy -diff || { echo 'go.mod is not tidy: run make tidy' >&2; exit 1; }
