package peer

import (
	"os"
	"path/filepath"
	"testing"
)

// Credentials makes, with openssl alone, what libvirt of every version accepts, and gives the directory: cacert.pem,
// servercert.pem and serverkey.pem (for localhost, 127.0.0.1, ::1 and the given DNS names), clientcert.pem and
// clientkey.pem (O=virt-pki, CN=client), and cakey.pem. It is the control of tests about our own credentials: a daemon
// that does not take these is no good for them.
func Credentials(t testing.TB, names ...string) string {
	t.Helper()
	Need(t, "openssl")
	dir := Dir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	key := func(name string) {
		OpenSSL(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", at(name))
	}
	key("cakey.pem")
	OpenSSL(t, "req", "-x509", "-new", "-key", at("cakey.pem"), "-subj", "/CN=openssl test CA", "-days", "30",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", at("cacert.pem"))
	leaf := func(role, subject, extensions string) {
		key(role + "key.pem")
		ext := at(role + ".ext")
		if err := os.WriteFile(ext, []byte(extensions), 0o644); err != nil {
			t.Fatal(err)
		}
		OpenSSL(t, "req", "-new", "-key", at(role+"key.pem"), "-subj", subject, "-out", at(role+".csr"))
		OpenSSL(t, "x509", "-req", "-in", at(role+".csr"), "-CA", at("cacert.pem"), "-CAkey", at("cakey.pem"),
			"-CAcreateserial", "-days", "30", "-extfile", ext, "-out", at(role+"cert.pem"))
	}
	san := "DNS:localhost,IP:127.0.0.1,IP:::1"
	for _, name := range names {
		san += ",DNS:" + name
	}
	// keyEncipherment in EC certificates: libvirt before 11.6 demands it of every key type.
	const usage = "keyUsage=critical,digitalSignature,keyEncipherment\nbasicConstraints=critical,CA:FALSE\n"
	leaf("server", "/CN=localhost", usage+"extendedKeyUsage=serverAuth\nsubjectAltName="+san+"\n")
	leaf("client", "/O=virt-pki/CN=client", usage+"extendedKeyUsage=clientAuth\n")
	return dir
}
