// Command virt-pki makes and judges the PKI of libvirt's TLS. See README.md.
package main

import "os"

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
