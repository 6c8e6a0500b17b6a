package layout

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestTheReferenceValidatorFindsNoMore puts directories to virt-pki-validate of libvirt 11.3 and 12.8 (the C program): what
// it says about owners, groups, modes and missing files the audit says, too.
func TestTheReferenceValidatorFindsNoMore(t *testing.T) {
	peer.NeedRoot(t)
	ca := testpki.NewCA(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	server, client := ca.Server(host), ca.Client("admin")
	const nobody = 65534
	cases := []struct {
		name   string
		change func(dir string) error
		// fails is a part of the check's line that fails; "" for none.
		fails string
		// stricter says that the audit finds something that the validator does not.
		stricter bool
	}{
		{"all is good", func(string) error { return nil }, "", false},
		{"the directory is open", func(d string) error { return os.Chmod(d, 0o755) }, "custom PKI base dir access", false},
		{"the directory is closed to its owner's writing", func(d string) error { return os.Chmod(d, 0o500) }, "custom PKI base dir access", false},
		{"the directory is another's", func(d string) error { return os.Chown(d, nobody, 0) }, "custom PKI base dir access", false},
		{"the directory is another group's", func(d string) error { return os.Chown(d, 0, nobody) }, "custom PKI base dir access", false},
		{"the CA file is open", func(d string) error { return os.Chmod(d+"/cacert.pem", 0o644) }, "CA cert access", false},
		{"the CA file is another's", func(d string) error { return os.Chown(d+"/cacert.pem", nobody, 0) }, "CA cert access", false},
		{"there is no CA file", func(d string) error { return os.Remove(d + "/cacert.pem") }, "if CA cert exists", false},
		{"the server's key is open", func(d string) error { return os.Chmod(d+"/serverkey.pem", 0o644) }, "key access", false},
		{"the server's key is open to a group", func(d string) error { return os.Chmod(d+"/serverkey.pem", 0o640) }, "key access", false},
		{"the server's key is stricter", func(d string) error { return os.Chmod(d+"/serverkey.pem", 0o400) }, "key access", false},
		{"the client's key is another group's", func(d string) error { return os.Chown(d+"/clientkey.pem", 0, nobody) }, "key access", false},
		{"there is no client's key", func(d string) error { return os.Remove(d + "/clientkey.pem") }, "if key exists", false},
		{"there is no server's certificate", func(d string) error { return os.Remove(d + "/servercert.pem") }, "if cert exists", false},
		{"the client's certificate is open", func(d string) error { return os.Chmod(d+"/clientcert.pem", 0o644) }, "cert access", false},
		{"the certificate is a link", func(d string) error {
			if err := os.Rename(d+"/clientcert.pem", d+"/elsewhere"); err != nil {
				return err
			}
			return os.Symlink("elsewhere", d+"/clientcert.pem")
		}, "", true},
		{"a half of an identity with an index is open", func(d string) error { return os.WriteFile(d+"/serverkey0.pem", server.KeyPEM(), 0o644) }, "", true},
	}
	for _, name := range peer.RootNames {
		t.Run(name, func(t *testing.T) {
			root := peer.NeedRootFS(t, name)
			base := peer.Dir(t)
			for i, c := range cases {
				dir := filepath.Join(base, fmt.Sprint(i))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				testpki.WriteFlat(t, dir, ca, server, client)
				files, _ := filepath.Glob(dir + "/*")
				for _, f := range files {
					if err := os.Chmod(f, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.change(dir); err != nil {
					t.Fatal(err)
				}
			}
			const script = `cd "$1"; i=0; while [ -d $i ]; do virt-pki-validate --path "$1/$i" trust >$i.out 2>&1; for s in server client; do
				virt-pki-validate --path "$1/$i" $s >>$i.out 2>&1; done; i=$((i+1)); done`
			peer.Place{Root: root}.Must(t, "sh", "-c", script, "sh", base)
			for i, c := range cases {
				out, err := os.ReadFile(filepath.Join(base, fmt.Sprint(i)+".out"))
				if err != nil {
					t.Fatal(err)
				}
				var failed []string
				for line := range strings.Lines(string(out)) {
					if strings.Contains(line, ": FAIL") {
						failed = append(failed, strings.TrimSpace(line))
					}
				}
				said := strings.Join(failed, "; ")
				if (said == "") != (c.fails == "") || !strings.Contains(said, c.fails) {
					t.Errorf("%s: the validator fails %q, want %q:\n%s", c.name, said, c.fails, out)
				}
				dir := filepath.Join(base, fmt.Sprint(i))
				place := Place{Kind: PkiPath, Dir: dir}
				r := Audit(os.DirFS("/"), place, 0, nil)
				ours := len(r.Findings)
				// What is missing is for package verify to say.
				for _, role := range []certs.Role{certs.Server, certs.Client} {
					paths := place.Paths(role)
					_, noCert := os.Stat(paths.Cert)
					_, noKey := os.Stat(paths.Key)
					if (noCert == nil) != (noKey == nil) || role == certs.Server && noCert != nil {
						ours++
					}
				}
				if !r.CA {
					ours++
				}
				if (ours > 0) != (c.fails != "" || c.stricter) {
					t.Errorf("%s: we find %v, the validator %q", c.name, r.Findings, said)
				}
			}
		})
	}
}
