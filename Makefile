# make run      serves on localhost:8080; for phones, too: make run LISTEN=:8080
# make test     installs what the tests need and runs all of them
# make screenshot  takes the README's pictures of the page
# make live     plays at random against /live for minutes, and with a crowd; LIVE=10m for longer
# make looks    looks at the page in all widths and colours; PICTURES=DIR keeps pictures
# make soak     lets clients come and go over wss for ten minutes; SOAK=1h for longer
# make chaos    kills, freezes and parts servers for ten minutes; CHAOS=1h for longer
# make release  builds release archives into dist/
# make module   gives the module the path at which it can be fetched: make module NAME=github.com/you/crier
# make vuln     asks whether a vulnerability of what crier is made of is known

.PHONY: module release run test screenshot looks live soak chaos deps check unit race fuzz vuln
.DEFAULT_GOAL := run

run:
	@go build -o crier ./cmd/crier
	@./crier serve $(if $(LISTEN),--listen $(LISTEN))

# One archive for each system and architecture, with the manual and shell completions, and their checksums. The same sources
# make the same archives. To build a few: make release TARGETS=linux/amd64
TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
DIST ?= dist
release:
	@packaging/release $(DIST) $(TARGETS)

NAME ?=
module:
	@go run ./internal/module "$(NAME)"

test: deps check unit race fuzz

screenshot:
	go build -o crier ./cmd/crier
	cd internal/browser && PROGRAM=$(CURDIR)/crier CHROMIUM=$$(command -v chromium) node screenshot.mjs $(CURDIR)/docs

# No part of make test, where the same tests take seconds. A fault comes with a seed: make live SEED=7 plays that one.
LIVE ?= 60s
SEED ?= 0
live:
	go test -count=1 -timeout 0 -v -run 'TestLive|TestServe/Live' ./internal/wiretest -live $(LIVE) -live-seed $(SEED) | grep -v "^=== "

# No part of make test, where the same test takes seconds.
SOAK ?= 10m
soak:
	go test -count=1 -timeout 0 -v -run TestSoak ./internal/wiretest -soak $(SOAK) | grep -v "^=== "

# No part of make test, where the same test takes a minute. make chaos SEED=7 does again to the servers what that seed did.
CHAOS ?= 10m
chaos:
	go test -count=1 -timeout 0 -v ./internal/chaos -chaos $(CHAOS) -seed $(SEED)

# What is tested is what is released; only the race detector needs cgo.
check unit race fuzz: export GOFLAGS := $(shell go env GOFLAGS) -trimpath
check unit fuzz: export CGO_ENABLED := 0
race: export CGO_ENABLED := 1

# gcc is for the race detector; Node, Python, PHP, curl, openssl and their packages are the clients, handlers and services that tests drive.
# g++ and Mono compile recipes. A python3 that is not Debian's has its own modules, so tests look into both.
deps:
	@for need in gcc:"gcc libc6-dev" g++:g++ mcs:mono-mcs node:nodejs npm:npm python3:python3 php:php-cli curl:curl openssl:openssl chromium:"chromium fonts-liberation"; do \
		command -v $${need%%:*} >/dev/null || missing="$$missing $${need#*:}"; done; \
	test -z "$$missing" || { apt-get update && apt-get install -y --no-install-recommends $$missing; }
	python3 -c "import boto3, requests" || { apt-get update && apt-get install -y --no-install-recommends python3-boto3 python3-requests; }
	for module in websockets aiohttp; do python3 -c "import $$module" 2>/dev/null || /usr/bin/python3 -c "import $$module" || { \
		apt-get update && apt-get install -y --no-install-recommends python3-$$module; } || exit 1; done
	go mod download
	cd internal/pebble && go mod download
	cd internal/interop && npm ci --no-audit --no-fund
	cd internal/browser && npm ci --no-audit --no-fund
	cd examples/lambda && npm ci --no-audit --no-fund

check:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	GOOS=windows go vet ./...
	GOOS=darwin go vet ./transport ./lambda ./serve
	go tool -modfile=tools/go.mod staticcheck ./...
	cd internal/pebble && go vet . && go tool -modfile=../../tools/go.mod staticcheck .

# The longest tests mostly wait, for handlers, browsers and elections: so they begin first, and there are more packages at once than
# processors.
unit:
	go test -count=1 -p $$(($$(nproc) + 1)) ./internal/browser ./internal/wiretest ./examples/lambda ./...

# The page in all widths and colours, where make test looks at some.
looks:
	LOOKS=all go test -count=1 -timeout 20m -v -run Reader ./internal/browser

# serve runs the wire suite in its own process, so that its races are seen, too.
race:
	go test -count=1 -race -short ./app ./hub ./transport ./cluster ./door ./client ./lambda ./api ./serve ./cloud ./bench ./certs ./localca ./fair ./localdb ./cmd/crier

# Seconds for each of the fuzz targets. These take long to build, so they are no part of make test, which tries their seeds only:
# make fuzz FUZZ=1m FUZZED="cluster.FuzzBatch cluster.FuzzState serve.FuzzRecord api.FuzzSelection api.FuzzParse importer.FuzzConvert"
FUZZ ?= 2s
FUZZED ?= stamp.FuzzAppend stamp.FuzzObject stamp.FuzzString stamp.FuzzOpen app.FuzzLive ws.FuzzDecoder ws.FuzzParseClose hub.FuzzModel
fuzz:
	@for target in $(FUZZED); do \
		echo "fuzz $$target for $(FUZZ)"; \
		go test ./$${target%.*} -run - -fuzz "^$${target#*.}$$" -fuzztime $(FUZZ) | grep -v "^fuzz: elapsed" || exit 1; \
	done

# No part of make test: the answer changes though nothing here does, and needs the network. "Error 3" at the end means that some are
# known, "Error 4" that there is no database at VULNDB and nothing was checked. govulncheck alone finds nothing in a
# database that is empty or not there. A copy will do: make vuln VULNDB=file:///srv/vulndb
VULNDB ?= https://vuln.go.dev
vuln:
	@curl -fsS --max-time 60 -o /dev/null $(VULNDB)/index/modules.json.gz || { \
		echo "there is no vulnerability database at $(VULNDB): nothing was checked" >&2; exit 4; }
	go tool -modfile=tools/go.mod govulncheck -db $(VULNDB) ./...
