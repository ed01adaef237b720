# ssmonitor: `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help build demo test packages lint vulncheck unit fuzz bench-compare bench-readme bench-once fault fleet kernels clean

GO      ?= go
BUILD   ?= build
# Without a tag, the number of commits and the last one follow the last release, as in the
# version of the package; a source tarball, without git, is that of a release.
COMMITS := $(addprefix +$(shell git rev-list --count HEAD 2>/dev/null).g,$(shell git describe --always --dirty --exclude='*' 2>/dev/null))
VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null)),0.2.0$(COMMITS))
# The date of the last commit, which the packed files and the manual get.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
LDFLAGS := -s -w -X main.release=$(VERSION) -X main.released=$(shell date -u -d @$(SOURCE_DATE_EPOCH) +%F)

# Debian packages that the tests run or run against.
PACKAGES := gcc git libc6-dev nftables iptables iproute2 ethtool curl util-linux bsdutils passwd \
	python3 shadowsocks-libev netdata-core netdata-plugins-bash netdata-plugins-python netdata-web \
	systemd-container chromium qemu-system-x86 busybox-static \
	prometheus prometheus-node-exporter victoria-metrics \
	tmux zsh fish man-db mandoc lintian rpm file shellcheck sqlite3 v2ray \
	podman crun netavark uidmap slirp4netns passt docker.io

# Those below integration have tests alone, which need libraries that nothing else does.
MODULES := . integration/compare integration/grafana

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(shell $(GO) env GOPATH)/bin/golangci-lint
GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK := $(shell $(GO) env GOPATH)/bin/govulncheck

# A directory with the entries of a database of vulnerabilities, or none.
VULNDB ?=

FUZZTIME ?= 3s
DURATION ?= 1h

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the static binary: build/ssmonitor
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BUILD)/ssmonitor ./cmd/ssmonitor

include integration/install.mk integration/release.mk

demo: build ## run the demo in a network namespace of its own (root)
	$(GO) run ./integration/demo -ssmonitor $(BUILD)/ssmonitor

test: ## install what the tests need and run every test (root)
	$(MAKE) -j 2 packages $(GOLANGCI_LINT) $(GOVULNCHECK)
	$(MAKE) lint unit fuzz bench-once

packages: ## install the Debian packages that the tests need (root)
	integration/packages.sh $(PACKAGES)

lint: $(GOLANGCI_LINT) ## gofmt, vet, golangci-lint, shellcheck and an untidy go.mod
	test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	set -e; for module in $(MODULES); do (cd $$module && $(GO) vet ./... && $(GOLANGCI_LINT) run ./... && $(GO) mod tidy -diff); done
	shellcheck .ci/run integration/*.sh integration/netdata/link.sh integration/debian/postinst integration/debian/postrm integration/debian/prerm
	$(if $(VULNDB),$(MAKE) vulncheck,@echo 'VULNDB names no database of vulnerabilities: none is looked up')

# An empty database has no vulnerabilities.
vulncheck: $(GOVULNCHECK) ## look up what is imported in VULNDB, offline; part of lint if VULNDB is set
	@test -n "$(firstword $(wildcard $(addprefix $(VULNDB)/,GO-*.json index/modules.json)))" || \
		{ echo 'VULNDB=$(VULNDB): want a directory with a database of vulnerabilities: see CONTRIBUTING.md' >&2; exit 1; }
	set -e; for module in $(MODULES); do (cd $$module && $(GOVULNCHECK) -test -scan package -db file://$(abspath $(VULNDB)) ./...); done

$(GOLANGCI_LINT):
	$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(GOVULNCHECK):
	$(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

# These need the machine for themselves, one after the other, since they wait for
# what happens in time. The others compute.
ALONE := ./accounting/store ./cmd/ssmonitor ./integration/endtoend ./integration/kernels ./integration/presence \
	./integration/prometheus ./integration/sources ./integration/systemd ./internal/serving ./nft ./output/api ./output/prometheus
# SQLite is C, translated to Go: the race detector finds nothing in it, and makes it
# eight times slower.
TEST  := GORACE=atexit_sleep_ms=0 $(GO) test -race -gcflags=github.com/ncruces/go-sqlite3-wasm/...=-race=false -count=1 -timeout 25m

unit: ## all tests but fuzzing, with the race detector
	$(TEST) -p 2 $$($(GO) list ./... | grep -vxF "$$($(GO) list $(ALONE))")
	$(TEST) -p 1 $(ALONE)
	set -e; for module in $(filter-out .,$(MODULES)); do (cd $$module && $(TEST) ./...); done
	$(GO) test -count=1 -run '^TestDamages$$' ./accounting/store -args -damages 1000

kernels: packages ## the kernel tests on Debian 12's other kernels, in QEMU; part of unit
	$(GO) test -v -count=1 ./integration/kernels

fault: packages ## faults and random changes on the real kernel for DURATION each; unit runs them for minutes
	$(GO) test ./integration/endtoend -run '^(TestFaults|TestRandomAdministrator)$$' -count 1 -v -timeout 0 -fault-duration $(DURATION)

fleet: packages ## 1,000 simulated servers, a Prometheus and a VictoriaMetrics for DURATION
	$(GO) test ./integration/prometheus -run '^TestFleet$$' -count 1 -v -timeout 0 -args \
		-fleet-servers 1000 -fleet-clients 50 -fleet-interval 30s -fleet-duration $(DURATION)

fuzz: ## each fuzz target for FUZZTIME
	integration/fuzz.sh $(FUZZTIME)

# -args separates the flags; -ports, -rounds, -ticks and more are in the test.
COMPARE := cd integration/compare && $(GO) test -count=1 -timeout 1h -run '^TestCompare$$' -args -full \
	-directory $(abspath $(BUILD))/compare $(COMPARE_FLAGS)

bench-compare: ## compare costs with those of the alternatives, some minutes, into build/compare (root)
	$(COMPARE)

bench-readme: ## the same, and put the figures and plots into nft/README.md (root)
	$(COMPARE) -readme

bench-once: ## each benchmark once, so that none breaks unnoticed
	$(GO) test -run '^$$' -bench . -benchtime 1x $$(git grep -l '^func Benchmark' -- '*_test.go' | sed 's|[^/]*$$||; s|^|./|' | sort -u)

clean: ## remove what was built
	rm -rf $(BUILD)
