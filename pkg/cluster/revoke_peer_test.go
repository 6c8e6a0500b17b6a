package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// letIn wants virsh to be let in, or to be refused as libvirtd refuses who is revoked.
func letIn(t *testing.T, what string, r peer.Result, want bool) {
	t.Helper()
	const refused = "Unable to read TLS confirmation: Input/output error"
	if want && r.Exit != 0 || !want && (r.Exit == 0 || !strings.Contains(r.Stderr, refused)) {
		t.Errorf("%s: let in should be %v: %v", what, want, r)
	}
}

func TestLibvirtdRefusesARevokedClientAfterARestart(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "certtool", "openssl")
	base := peer.Dir(t)
	dir, bob := filepath.Join(base, "pki"), filepath.Join(base, "bob")
	authority := filepath.Join(dir, "authority")
	must(t, "init", "--no-passphrase", "--pkipath", dir, "--server", "localhost,127.0.0.1", "--client", "admin")
	must(t, "issue", "client", "bob", "--no-passphrase", "--pkipath", bob, "--authority", authority)

	daemon := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	try := func(d *peer.Libvirtd, when string, bobIn bool) {
		t.Helper()
		letIn(t, when+": admin", peer.Virsh(t, d.URI("pkipath="+dir)), true)
		letIn(t, when+": bob", peer.Virsh(t, d.URI("pkipath="+bob)), bobIn)
	}
	try(daemon, "before", true)
	must(t, "revoke", "bob", "--reason", "keyCompromise", "--authority", authority)
	must(t, "crl", "publish", "--no-passphrase", "--pkipath", dir, "--authority", authority)
	try(daemon, "published, the daemon as before", true) // libvirt reads its list at the start only
	daemon.Stop()
	daemon = peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	try(daemon, "after a restart", false)
	if !daemon.WaitLog("The certificate has been revoked", 0) {
		t.Errorf("the daemon's log does not say why:\n%s", daemon.Log())
	}

	list := filepath.Join(dir, "cacrl.pem")
	for _, want := range []string{"CRL Number (not critical): 01", "Revoked certificates (1):"} {
		if out := peer.Certtool(t, "--crl-info", "--infile", list); !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("certtool does not say %q:\n%s", want, out)
		}
	}
	out := peer.OpenSSL(t, "crl", "-in", list, "-noout", "-text")
	for _, want := range []string{"X509v3 CRL Number: 1", "Key Compromise"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("openssl does not say %q:\n%s", want, out)
		}
	}
	peer.OpenSSL(t, "verify", "-crl_check", "-CAfile", filepath.Join(dir, "cacert.pem"), "-CRLfile", list, filepath.Join(dir, "clientcert.pem"))
	if r := peer.Run(t, "openssl", "verify", "-crl_check", "-CAfile", filepath.Join(dir, "cacert.pem"), "-CRLfile", list, filepath.Join(bob, "clientcert.pem")); r.Exit == 0 || !strings.Contains(r.Stderr, "certificate revoked") {
		t.Errorf("openssl lets bob in: %v", r)
	}
}

func TestLibvirtdRefusesARevokedClientAfterServerUpdateTLS(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	base := peer.Dir(t)
	out, bob, admin := filepath.Join(base, "cluster"), filepath.Join(base, "bob"), filepath.Join(base, "admin")
	authority := filepath.Join(out, "authority")
	must(t, "init", "--no-passphrase", "--out", out, "--server", "localhost,127.0.0.1")
	for _, name := range []string{"bob", "admin"} {
		must(t, "issue", "client", name, "--no-passphrase", "--pkipath", filepath.Join(base, name), "--authority", authority)
	}
	machine := peer.NewMachine(t)
	crash.CopyTree(t, filepath.Join(out, "localhost/etc/pki"), machine.Path("/etc/pki"))
	place := peer.Place{Machine: machine}
	daemon := peer.Start(t, peer.Options{Place: place, DefaultPaths: true}).MustBeReady(t)
	try := func(when string, bobIn bool) {
		t.Helper()
		letIn(t, when+": admin", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
		letIn(t, when+": bob", place.Virsh(t, daemon.URI("pkipath="+bob)), bobIn)
	}
	try("before", true)
	must(t, "revoke", filepath.Join(bob, "clientcert.pem"), "--authority", authority)
	must(t, "crl", "publish", "--no-passphrase", "--root", machine.Path("/"), "--authority", authority)
	if _, err := os.Stat(machine.Path("/etc/pki/CA/cacrl.pem")); err != nil {
		t.Fatal(err)
	}
	try("published, not reloaded", true)
	if r := daemon.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
		t.Fatalf("%v", r)
	}
	try("after server-update-tls", false)
}
