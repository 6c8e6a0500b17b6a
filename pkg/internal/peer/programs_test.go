package peer

import (
	"strings"
	"testing"
)

func TestProgramsThatRunToTheirEnd(t *testing.T) {
	Need(t, "virt-pki-query-dn", "certtool", "openssl")
	pki := Credentials(t)
	if r, want := QueryDN(t, pki+"/clientcert.pem"), (Result{Stdout: "O=virt-pki,CN=client\n"}); r != want {
		t.Errorf("query-dn: %v", r)
	}
	text := Certtool(t, "--verify", "--load-ca-certificate", pki+"/cacert.pem", "--infile", pki+"/servercert.pem")
	if !strings.Contains(text, "Chain verification output: Verified.") {
		t.Errorf("certtool: %s", text)
	}
	if text := OpenSSL(t, "verify", "-CAfile", pki+"/cacert.pem", pki+"/servercert.pem"); text != pki+"/servercert.pem: OK\n" {
		t.Errorf("openssl: %s", text)
	}
}

func TestGnutlsCLISpeaksToTheDaemon(t *testing.T) {
	Need(t, "gnutls-cli")
	pki := Credentials(t)
	d := Start(t, Options{Dir: pki}).MustBeReady(t)
	r := GnutlsCLI(t, "localhost", d.Port, "--x509cafile", pki+"/cacert.pem", "--x509certfile", pki+"/clientcert.pem",
		"--x509keyfile", pki+"/clientkey.pem")
	for _, want := range []string{"- Status: The certificate is trusted.", "- Handshake was completed"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("no %q: %v", want, r)
		}
	}
}

func TestQemuImgAndQemuNBDSpeakTLS(t *testing.T) {
	Need(t, "qemu-nbd", "qemu-img")
	pki, dir := Credentials(t), Dir(t)
	for from, to := range map[string]string{"cacert": "ca-cert", "servercert": "server-cert", "serverkey": "server-key",
		"clientcert": "client-cert", "clientkey": "client-key"} {
		copyFile(t, pki+"/"+from+".pem", dir+"/"+to+".pem")
	}
	n := StartNBD(t, NBDOptions{Dir: dir, VerifyPeer: true})
	if !n.Ready {
		t.Fatalf("exit status %d: %s", n.Exit, n.Log())
	}
	if r := QemuImg(t, "localhost", n.Port, dir); r.Exit != 0 || !strings.Contains(r.Stdout, "virtual size: 1 MiB") {
		t.Errorf("%v\n%s", r, n.Log())
	}
	anonymous := Dir(t)
	copyFile(t, pki+"/cacert.pem", anonymous+"/ca-cert.pem")
	if r := QemuImg(t, "localhost", n.Port, anonymous); r.Exit == 0 {
		t.Errorf("a client without certificate got in: %v", r)
	}
	if n := StartNBD(t, NBDOptions{Dir: anonymous}); n.Ready || n.Exit != 1 || !strings.Contains(n.Log(), "server-cert.pem") {
		t.Errorf("a server without certificate: ready %v, exit %d: %s", n.Ready, n.Exit, n.Log())
	}
}
