// Keys that GnuTLS handles and then judges too weak must not end a handshake before the verdict: package verify says what
// is refused.
//go:debug rsa1024min=0

// Command virt-pki makes and judges the PKI of libvirt's TLS. See README.md.
package main

import (
	"os"
	"runtime/debug"

	_ "github.com/virt-pki/virt-pki/cmd/virt-pki/early" // answers query-dn FILE...
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // the program does not live long enough to be frugal
	}
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
