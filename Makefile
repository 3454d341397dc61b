# make run    serves on localhost:8080
# make test   installs what the tests need and runs all of them

.PHONY: run test deps check unit race fuzz
.DEFAULT_GOAL := run

run:
	@go build -o crier ./cmd/crier
	@./crier serve

test: deps check unit race fuzz

# gcc is for the race detector and an example; Chromium looks at the page; the npm packages are clients that the interop
# tests drive, and what drives Chromium.
deps:
	@command -v gcc >/dev/null || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; }
	@command -v chromium >/dev/null || { apt-get update && apt-get install -y --no-install-recommends chromium fonts-liberation; }
	go mod download
	cd internal/interop && npm ci --no-audit --no-fund
	cd internal/browser && npm ci --no-audit --no-fund

check:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	GOOS=windows go vet ./...
	GOOS=darwin go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

unit:
	go test -count=1 ./...

race:
	go test -count=1 -race -short ./hub ./transport ./gateway ./serve ./internal/wiretest

# Seconds for each of the fuzz targets.
FUZZ ?= 4s
fuzz:
	@for target in stamp.FuzzAppend stamp.FuzzObject stamp.FuzzString ws.FuzzDecoder ws.FuzzParseClose hub.FuzzModel; do \
		echo "fuzz $$target for $(FUZZ)"; \
		go test ./$${target%.*} -run - -fuzz "^$${target#*.}$$" -fuzztime $(FUZZ) | grep -v "^fuzz: elapsed" || exit 1; \
	done
