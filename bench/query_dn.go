package main

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"
)

// queryDN compares the whole process that prints one certificate's name. Both must print the same.
func (s *session) queryDN(stdout io.Writer) (ours, theirs time.Duration, err error) {
	cert := filepath.Join(s.dir, "query-dn.pem")
	script := `set -eu
certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$1.key"
printf '%s\n' 'cn = kvm1.example.com' 'organization = Example' 'country = GB' 'tls_www_client' >"$1.tmpl"
certtool --generate-self-signed --load-privkey "$1.key" --template "$1.tmpl" --outfile "$1"`
	if _, err := output(exec.Command("bash", "-c", script, "bash", cert)); err != nil {
		return 0, 0, err
	}
	var a, b []cost
	for i := range s.runs + 3 {
		ta, nameA, err := timed(exec.Command(s.virtPKI, "query-dn", cert))
		if err != nil {
			return 0, 0, err
		}
		tb, nameB, err := timed(exec.Command("virt-pki-query-dn", cert))
		if err != nil {
			return 0, 0, err
		}
		if nameA != nameB {
			return 0, 0, fmt.Errorf("virt-pki prints %q, virt-pki-query-dn %q", nameA, nameB)
		}
		if i >= 3 { // the first ones fill the caches
			a, b = append(a, ta), append(b, tb)
		}
	}
	fmt.Fprintf(stdout, "\nquery-dn, %d runs each\n", s.runs)
	row := func(who string, c cost) {
		fmt.Fprintf(stdout, "  %-17s  %8.2f ms  (CPU %.2f ms)\n", who, c.wall.Seconds()*1e3, c.cpu.Seconds()*1e3)
	}
	row("virt-pki query-dn", medians(a))
	row("virt-pki-query-dn", medians(b))
	return medians(a).wall, medians(b).wall, nil
}
