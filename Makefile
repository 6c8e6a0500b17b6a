# Few verbs; what they do is in scripts/, which can be called without make.

.PHONY: build test lint fuzz bench

# ./virt-pki, static, and beside it what it starts for keys in PKCS#11 tokens.
build:
	CGO_ENABLED=0 go build -trimpath -o . ./cmd/virt-pki ./cmd/virt-pki-gnutls ./cmd/virt-pki-pkcs11

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
