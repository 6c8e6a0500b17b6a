package verify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// place writes the files into a directory as libvirt 9.0.0 finds them; false where that cannot be done here (root may
// read everything; an empty path is a matter of the configuration).
func (f Files) place(t *testing.T, dir string) bool {
	t.Helper()
	role := f.Role.String()
	for name, file := range map[string]File{"cacert.pem": f.CA, "cacrl.pem": f.CRL, role + "cert.pem": f.Cert, role + "key.pem": f.Key} {
		path := filepath.Join(dir, name)
		switch {
		case file.Path == "" || errors.Is(file.Err, syscall.EACCES) || errors.Is(file.Err, syscall.ENOTDIR):
			return false
		case errors.Is(file.Err, syscall.ENOENT):
		case errors.Is(file.Err, syscall.EISDIR):
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.WriteFile(path, file.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return true
}

// predicted puts a directory's paths into the text of a prediction.
func predicted(text, dir string, role certs.Role) string {
	return strings.NewReplacer("/ca.pem", dir+"/cacert.pem", "/crl.pem", dir+"/cacrl.pem", "/cert.pem", dir+"/"+role.String()+"cert.pem",
		"/key.pem", dir+"/"+role.String()+"key.pem").Replace(text)
}

// TestRealLibvirtRefusesTheSameFiles puts the table of refusals to virsh and libvirtd 9.0.0.
func TestRealLibvirtRefusesTheSameFiles(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	n := 0
	for _, x := range refusals(t) {
		t.Run(x.name, func(t *testing.T) {
			if x.f.CRLConfigured && x.f.CRL.Path == "" {
				t.Skip("a matter of the configuration")
			}
			dir := peer.Dir(t)
			if !x.f.place(t, dir) {
				t.Skip("cannot be laid out here")
			}
			n++
			want := predicted(x.message, dir, x.f.Role)
			if x.f.Role == certs.Client {
				uri := "test+tls://127.0.0.1:1/default?pkipath=" + dir
				if x.f.NoSanity {
					uri += "&no_sanity=1"
				}
				got := peer.Virsh(t, uri).Stderr
				if want == "" {
					// Nothing listens there: the files are fine if virsh comes so far as to connect.
					want = "unable to connect to server at '127.0.0.1:1'"
				}
				if !strings.Contains(got, want) {
					t.Errorf("virsh says %q, predicted %q", got, want)
				}
				return
			}
			o := peer.Options{Dir: dir, Conf: []string{`crl_file = "` + dir + `/cacrl.pem"`}}
			if x.f.NoSanity {
				o.Conf = append(o.Conf, "tls_no_sanity_certificate = 1")
			}
			d := peer.Start(t, o)
			if d.Ready != (want == "") || !strings.Contains(d.Log(), want) {
				t.Errorf("libvirtd ready: %v, log %q; predicted %q", d.Ready, d.Log(), want)
			}
		})
	}
	if n < 30 {
		t.Errorf("only %d cases were put to libvirt", n)
	}
}

// TestRealLibvirtChecksItselfTheSame puts the table of own certificates to them.
func TestRealLibvirtChecksItselfTheSame(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	for _, x := range ownCases(t) {
		if x.o.Libvirt != V9_0 || x.o.Cert == nil {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			dir, role := peer.Dir(t), x.o.Role.String()
			var cas []byte
			for _, ca := range x.o.CAs {
				cas = append(cas, ca.PEM()...)
			}
			for name, data := range map[string][]byte{"cacert.pem": cas, role + "cert.pem": x.o.Cert.PEM(), role + "key.pem": x.key()} {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			at := strings.NewReplacer("/ca.pem", dir+"/cacert.pem", "/c.pem", dir+"/"+role+"cert.pem")
			want := at.Replace(x.message)
			var got string
			if x.o.Role == certs.Client {
				if got = peer.Virsh(t, "test+tls://127.0.0.1:1/default?pkipath="+dir).Stderr; want == "" {
					want = "unable to connect to server at '127.0.0.1:1'"
				}
			} else {
				d := peer.Start(t, peer.Options{Dir: dir})
				if got = d.Log(); d.Ready != (want == "") {
					t.Errorf("libvirtd ready: %v", d.Ready)
				}
			}
			if !strings.Contains(got, want) {
				t.Errorf("libvirt says %q, predicted %q", got, want)
			}
			for _, w := range strings.Split(x.warns, "|") {
				if !strings.Contains(got, at.Replace(w)) {
					t.Errorf("libvirt does not warn %q: %q", w, got)
				}
			}
		})
	}
}
