# Few verbs; what they do is in scripts/, which can be called without make.

.PHONY: build test lint fuzz bench

# ./virt-pki, static.
build:
	CGO_ENABLED=0 go build -trimpath -o virt-pki ./cmd/virt-pki

# Set up the real peers (as root with apt-get) and pass everything: lint, tests with the race detector, short fuzzing.
test:
	@scripts/test

# gofmt, vet, staticcheck, govulncheck.
lint:
	@scripts/lint

# Fuzz every target: make fuzz SECONDS=600
fuzz:
	@scripts/fuzz $(SECONDS)

# Compare our speed with the peers', in one run.
bench:
	go run ./bench
