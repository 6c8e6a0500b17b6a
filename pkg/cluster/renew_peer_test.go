package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func TestARealDaemonTakesWhatWasRenewed(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	base := peer.Dir(t)
	out, admin := filepath.Join(base, "cluster"), filepath.Join(base, "admin")
	authority := filepath.Join(out, "authority")
	must(t, "init", "--no-passphrase", "--out", out, "--server", "localhost,127.0.0.1")
	must(t, "issue", "client", "admin", "--no-passphrase", "--pkipath", admin, "--authority", authority)
	machine := peer.NewMachine(t)
	crash.CopyTree(t, filepath.Join(out, "localhost/etc/pki"), machine.Path("/etc/pki"))
	place := peer.Place{Machine: machine}
	daemon := peer.Start(t, peer.Options{Place: place, DefaultPaths: true}).MustBeReady(t)
	letIn(t, "before", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	must(t, "renew", "--all", "--no-passphrase", "--authority", authority, "--root", machine.Path("/"), "--pkipath", admin)
	letIn(t, "the client renewed, the daemon as before", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	if r := daemon.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
		t.Fatalf("%v", r)
	}
	letIn(t, "reloaded", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	daemon.Stop()
	daemon = peer.Start(t, peer.Options{Place: place, DefaultPaths: true}).MustBeReady(t)
	letIn(t, "started anew", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	// The old client certificate, stolen from a backup, is revoked by its file.
	old, err := filepath.Glob(admin + "/clientcert.pem.old-*")
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	must(t, "revoke", old[0], "--reason", "superseded", "--authority", authority)
	stolen := filepath.Join(base, "stolen")
	crash.CopyTree(t, admin, stolen)
	keys, err := filepath.Glob(admin + "/clientkey.pem.old-*")
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	for from, to := range map[string]string{old[0]: "clientcert.pem", keys[0]: "clientkey.pem"} {
		if text, err := os.ReadFile(from); err != nil || os.WriteFile(filepath.Join(stolen, to), text, 0o600) != nil {
			t.Fatal(err)
		}
	}
	letIn(t, "the old one, before", place.Virsh(t, daemon.URI("pkipath="+stolen)), true)
	must(t, "crl", "publish", "--no-passphrase", "--root", machine.Path("/"), "--authority", authority)
	if r := daemon.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
		t.Fatalf("%v", r)
	}
	letIn(t, "the old one, revoked", place.Virsh(t, daemon.URI("pkipath="+stolen)), false)
	letIn(t, "the new one", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
}
