package cluster

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// says wants an exit status and texts on standard output and error.
func says(t *testing.T, what string, r peer.Result, exit int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("%s: it does not say %q", what, text)
		}
	}
	if r.Exit != exit || t.Failed() {
		t.Fatalf("%s: want exit status %d: %v", what, exit, r)
	}
}

func TestReloadProvesWhatIsServed(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	base := peer.Dir(t)
	out, own := filepath.Join(base, "cluster"), filepath.Join(base, "own")
	authority := filepath.Join(out, "authority")
	must(t, "init", "--no-passphrase", "--out", out, "--server", "localhost,127.0.0.1")
	must(t, "issue", "server", "localhost,127.0.0.1", "--no-passphrase", "--pkipath", own, "--authority", authority)
	machine := peer.NewMachine(t)
	crash.CopyTree(t, filepath.Join(out, "localhost/etc/pki"), machine.Path("/etc/pki"))
	place := peer.Place{Machine: machine}
	renew := func() {
		t.Helper()
		must(t, "renew", "--all", "--no-passphrase", "--authority", authority, "--root", machine.Path("/"), "--pkipath", own)
	}

	daemon := peer.Start(t, peer.Options{Place: place, DefaultPaths: true, Conf: []string{"-unix_sock_dir"}}).MustBeReady(t)
	reload := func(args ...string) peer.Result {
		t.Helper()
		return place.Run(t, append([]string{binary(t), "reload", "--conf", daemon.ConfFile}, args...)...)
	}
	says(t, "nothing has changed", reload(), 0, "reload  virt-admin -c libvirtd:///system server-update-tls libvirtd\n",
		"why     the credentials are in the default places\n", ": the certificate of /etc/pki/libvirt/servercert.pem\n")
	renew()
	says(t, "renewed", reload(), 1, "serves another certificate than that of /etc/pki/libvirt/servercert.pem: serial ",
		"; it has not read the files since they were replaced\n", "virt-pki: hint: virt-admin -c libvirtd:///system server-update-tls libvirtd\n")
	says(t, "nobody to ask", reload("--run"), 2, "virt-pki: hint: run it without a question: --run --yes\n")
	says(t, "run", reload("--run", "--yes"), 0, "ran     virt-admin -c libvirtd:///system server-update-tls libvirtd\n", ": the certificate of /etc/pki/libvirt/servercert.pem\n")
	says(t, "as JSON", reload("--json"), 0, `"way": "server-update-tls"`, `"current": true`)
	daemon.Stop()

	// With files of its own the daemon must be restarted; server-update-tls swaps in those of the default places.
	daemon = peer.Start(t, peer.Options{Place: place, Dir: own, Conf: []string{"-unix_sock_dir"}}).MustBeReady(t)
	says(t, "own files", reload(), 0, "reload  systemctl restart libvirtd.service\n", "server-update-tls reads those only\n", ": the certificate of "+own+"/servercert.pem\n")
	renew()
	says(t, "own files, renewed", reload(), 1, "; it has not read the files since they were replaced\n", "hint: systemctl restart libvirtd.service\n")
	if r := daemon.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
		t.Fatal(r)
	}
	says(t, "own files, reloaded in the wrong way", reload(), 1, "; it is that of /etc/pki/libvirt/servercert.pem: server-update-tls was used, which reads the default places whatever the configuration names\n")
	daemon.Stop()
	says(t, "no daemon", reload(), 3, "connecting to the daemon at 127.0.0.1:")
	daemon = peer.Start(t, peer.Options{Place: place, Dir: own, Conf: []string{"-unix_sock_dir"}}).MustBeReady(t)
	says(t, "own files, restarted", reload(), 0, ": the certificate of "+own+"/servercert.pem\n")
}

func TestTheDrillProvesRevocation(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "libvirtd", "virt-admin")
	base := peer.Dir(t)
	out, admin := filepath.Join(base, "cluster"), filepath.Join(base, "admin")
	authority := filepath.Join(out, "authority")
	must(t, "init", "--no-passphrase", "--out", out, "--server", "localhost,127.0.0.1")
	must(t, "issue", "client", "admin", "--no-passphrase", "--pkipath", admin, "--authority", authority)
	machine := peer.NewMachine(t)
	crash.CopyTree(t, filepath.Join(out, "localhost/etc/pki"), machine.Path("/etc/pki"))
	place := peer.Place{Machine: machine}
	start := func(conf ...string) *peer.Libvirtd {
		t.Helper()
		return peer.Start(t, peer.Options{Place: place, DefaultPaths: true, Conf: append([]string{"-unix_sock_dir"}, conf...)}).MustBeReady(t)
	}
	drill := func(d *peer.Libvirtd, args ...string) peer.Result {
		t.Helper()
		return place.Run(t, append([]string{binary(t), "revocation-drill", "--no-passphrase", "--authority", authority, "--conf", d.ConfFile, "--yes"}, args...)...)
	}
	daemon := start()
	says(t, "the list goes elsewhere", drill(daemon, "--pkipath", admin), 1, "FAILED: the revoked certificate is let in\n",
		"hint: the daemon's list is /etc/pki/CA/cacrl.pem, and that is not there or none: publish to it with --root or --pkipath\n")
	says(t, "as it should be", drill(daemon, "--root", "/"), 0, "passed\n", "refuses who is on the list, and lets in who is not\n", "; no file is left\n")
	if !daemon.WaitLog("The certificate has been revoked", 0) {
		t.Errorf("the daemon's log does not say why:\n%s", daemon.Log())
	}
	says(t, "not reloaded", drill(daemon, "--root", "/", "--reload-command", "true"), 1, "--reload-command did not make the daemon read it")
	letIn(t, "who is good", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	daemon.Stop()

	daemon = start(`crl_file = "` + admin + `/cacrl.pem"`)
	says(t, "crl_file alone", drill(daemon, "--pkipath", admin), 1, "alone is ignored: without ca_file, cert_file and key_file the list is /etc/pki/CA/cacrl.pem\n",
		"which is not the one that was published ("+admin+"/cacrl.pem)")
	daemon.Stop()
	daemon = start(`tls_allowed_dn_list = ["CN=admin"]`)
	says(t, "another name is wanted", drill(daemon, "--root", "/"), 3, "nothing proven: a good certificate is refused\n", "hint: a name that tls_allowed_dn_list lets in: --subject DN\n")
	says(t, "with that name", drill(daemon, "--root", "/", "--subject", "CN=admin"), 0, "passed\n")
	daemon.Stop()

	// Nothing of it is left: no key, no certificate in force.
	r := virtPKI(t, "list", "--all", "--json", "--authority", authority)
	if strings.Count(r.Stdout, `"name": "revocation-drill"`) != 12 || strings.Count(r.Stdout, `"revoked": null`) != 2 {
		t.Errorf("the inventory: %s", r.Stdout)
	}
	crash.NoLeftovers(t, "at the end", base)
	if r := virtPKI(t, "expiry", "--authority", authority); strings.Contains(r.Stdout, "revocation-drill") {
		t.Errorf("expiry speaks of the drill: %s", r.Stdout)
	}
}
