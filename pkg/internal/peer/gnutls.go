package peer

import (
	"os/exec"
	"testing"
)

// GnutlsProgram builds virt-pki-gnutls, see Build, and gives its file. The test is skipped where it finds no libgnutls.
func GnutlsProgram(t testing.TB) string {
	t.Helper()
	file := Build(t, "virt-pki-gnutls")
	if out, err := exec.Command(file, "version").CombinedOutput(); err != nil {
		lack(t, "virt-pki-gnutls does not run: "+string(out))
	}
	return file
}
