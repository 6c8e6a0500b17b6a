package peer

import (
	"strconv"
	"testing"
)

// Virsh runs virsh here against a URI; without arguments it asks for the host's name, the cheapest question that needs
// an open connection.
func Virsh(t testing.TB, uri string, args ...string) Result {
	t.Helper()
	return Place{}.Virsh(t, uri, args...)
}

// Virsh runs virsh against a URI, see the function of that name.
func (p Place) Virsh(t testing.TB, uri string, args ...string) Result {
	t.Helper()
	if len(args) == 0 {
		args = []string{"hostname"}
	}
	return p.Run(t, append([]string{"virsh", "-c", uri}, args...)...)
}

// QueryDN runs virt-pki-query-dn on a file, which must be named by an absolute path.
func QueryDN(t testing.TB, file string) Result {
	t.Helper()
	return Run(t, "virt-pki-query-dn", file)
}

// Certtool runs certtool, which has to succeed, and gives its standard output.
func Certtool(t testing.TB, args ...string) string {
	t.Helper()
	return Place{}.Must(t, append([]string{"certtool"}, args...)...)
}

// OpenSSL runs openssl, which has to succeed, and gives its standard output.
func OpenSSL(t testing.TB, args ...string) string {
	t.Helper()
	return Place{}.Must(t, append([]string{"openssl"}, args...)...)
}

// GnutlsCLI connects with gnutls-cli and says nothing; args are further options ("--x509cafile", FILE).
func GnutlsCLI(t testing.TB, host string, port int, args ...string) Result {
	t.Helper()
	return Run(t, append(append([]string{"gnutls-cli", "--port", strconv.Itoa(port)}, args...), host)...)
}
