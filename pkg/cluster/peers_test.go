package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// nobodysFiles gives the layout of users to nobody.
var nobodysFiles = layout.WriteOptions{SetOwners: true, UID: 65534, GID: 65534,
	LookupGroup: func(string) (int, error) { return 0, nil }}

// connects checks that a real daemon with these options comes up, that a real client gets in, and that neither has
// anything to complain about.
func connects(t *testing.T, what string, o peer.Options, client peer.Place, params ...string) {
	t.Helper()
	d := peer.Start(t, o)
	defer d.Stop()
	if !d.Ready {
		t.Errorf("%s: libvirtd does not start:\n%s", what, d.Log())
		return
	}
	if r := client.Virsh(t, d.URI(params...)); r.Exit != 0 || r.Stderr != "" {
		t.Errorf("%s: virsh: %v\n%s", what, r, d.Log())
	}
	for _, m := range d.Messages() {
		if !strings.Contains(m, "bus connection: ") { // nobody has no D-Bus
			t.Errorf("%s: libvirtd says %q", what, m)
		}
	}
}

// system checks the system's layout of a tree on a pretended machine, where libvirt finds it by itself.
func system(t *testing.T, what string, tree string, roots []peer.Root) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m := peer.NewMachine(t)
	m.AddHost(t, "127.0.0.1", host) // the daemon asks for its own name
	crash.CopyTree(t, tree+"/etc/pki", m.Path("/etc/pki"))
	for _, root := range roots {
		here := peer.Place{Machine: m, Root: root.Dir}
		connects(t, what+" on "+root.Libvirt, peer.Options{Place: here, DefaultPaths: true, Conf: []string{"-unix_sock_dir"}}, here)
	}
}

func TestRealProgramsTakeEveryKeyTypeInEveryLayout(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "qemu-nbd", "qemu-img")
	roots := peer.Roots(t)
	for _, key := range certs.KeyAlgorithms() {
		if testing.Short() && key != certs.ECDSAP256 {
			continue
		}
		t.Run(string(key), func(t *testing.T) {
			t.Parallel()
			top := peer.Dir(t)
			cs := caSpec(t)
			cs.Key = key
			s := Spec{Dir: top + "/cluster", Kinds: []layout.Kind{layout.Libvirt, layout.User, layout.QEMU}, Key: key, Now: time.Now(),
				Members: []Member{member(t, certs.Peer, "localhost,127.0.0.1")}, Homes: func(string) string { return "/home/nobody" }}
			makeAll(t, s, cs, Options{WriteOptions: nobodysFiles})
			flat := flatSpec(t, top+"/flat")
			flat.Key = key
			if key == certs.RSA3072 || key == certs.RSA4096 { // the keys take seconds: one CA for both
				if _, err := add(t, flat, open(t, s.Dir)); err != nil {
					t.Fatal(err)
				}
			} else {
				makeAll(t, flat, cs, Options{})
			}

			for _, root := range roots {
				here := peer.Place{Root: root.Dir}
				connects(t, "flat on "+root.Libvirt, peer.Options{Dir: flat.Dir, Place: here}, here, "pkipath="+flat.Dir)
			}
			tree := s.Dir + "/localhost"
			system(t, "system", tree, roots)

			home := peer.Dir(t)
			crash.CopyTree(t, tree+"/home/nobody", home)
			peer.Own(t, home, "nobody") // the home itself; what is in it belongs to nobody already
			nobody := peer.Place{User: "nobody", Home: home}
			connects(t, "user", peer.Options{Place: nobody, DefaultPaths: true}, nobody)

			qemu := tree + "/etc/pki/qemu"
			nbd := peer.StartNBD(t, peer.NBDOptions{Dir: qemu, VerifyPeer: true})
			defer nbd.Stop()
			if !nbd.Ready {
				t.Errorf("qemu-nbd does not start:\n%s", nbd.Log())
			} else if r := peer.QemuImg(t, "localhost", nbd.Port, qemu); r.Exit != 0 {
				t.Errorf("qemu-img: %v\n%s", r, nbd.Log())
			}
		})
	}
}

func TestEveryDirectoryOfQEMUServesQEMU(t *testing.T) {
	peer.Need(t, "qemu-nbd", "qemu-img")
	s := Spec{Dir: filepath.Join(peer.Dir(t), "cluster"), Now: time.Now(), Members: []Member{member(t, certs.Server, "localhost"), member(t, certs.Client, "admin")}}
	for _, k := range layout.Kinds() {
		if k.ForQEMU() {
			s.Kinds = append(s.Kinds, k)
		}
	}
	if len(s.Kinds) != 7 {
		t.Fatalf("%v", s.Kinds)
	}
	makeAll(t, s, caSpec(t), Options{})
	for _, k := range s.Kinds {
		nbd := peer.StartNBD(t, peer.NBDOptions{Dir: s.Dir + "/localhost/etc/pki/" + string(k), VerifyPeer: true})
		if !nbd.Ready {
			t.Errorf("%s: qemu-nbd does not start:\n%s", k, nbd.Log())
			continue
		}
		if r := peer.QemuImg(t, "localhost", nbd.Port, s.Dir+"/admin/etc/pki/"+string(k)); r.Exit != 0 {
			t.Errorf("%s: qemu-img: %v\n%s", k, r, nbd.Log())
		}
		// Without a certificate nobody gets in.
		bare := peer.Dir(t)
		if err := os.Link(s.Dir+"/admin/etc/pki/"+string(k)+"/ca-cert.pem", bare+"/ca-cert.pem"); err != nil {
			t.Fatal(err)
		}
		if r := peer.QemuImg(t, "localhost", nbd.Port, bare); r.Exit == 0 {
			t.Errorf("%s: qemu-img gets in without a certificate", k)
		}
		nbd.Stop()
	}
}

// odd are subjects of clients that take care to write, in GnuTLS's own spelling.
var odd = []string{
	`C=GB,O=Acme\, Inc.,CN=admin`,
	`O=Bücher & Söhne,CN=Jörg Müller`,
	`DC=com,DC=example,CN=svc`,
	`EMAIL=admin@example.com,CN=mail`,
	`C=GB,OU=a+OU=b,CN=multi`,
	`CN=plus\+equals=and\"quotes\;\<\>\\`,
	`ST=London,L=London,street=1 High St,title=Dr,surName=Hart,serialNumber=42,CN=long`,
	`CN=日本語`,
}

func TestThePrintedNameIsTheOneThatLibvirtMatches(t *testing.T) {
	peer.Need(t, "virt-pki-query-dn", "libvirtd", "virsh")
	top := peer.Dir(t)
	s := Spec{Dir: top + "/server", Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []Member{member(t, certs.Server, "localhost,127.0.0.1")}}
	makeAll(t, s, caSpec(t), Options{})
	a := open(t, s.Dir)
	names := make([]string, len(odd))
	dirs := make([]string, len(odd))
	for i, subject := range odd {
		dirs[i] = fmt.Sprintf("%s/client%d", top, i)
		made, err := add(t, Spec{Dir: dirs[i], Kinds: s.Kinds, Now: s.Now,
			Members: []Member{{Name: fmt.Sprintf("client%d", i), Role: certs.Client, Subject: name(t, subject)}}}, a)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(dirs[i] + "/clientcert.pem")
		if err != nil {
			t.Fatal(err)
		}
		if names[i], err = certs.QueryDN(text); err != nil || names[i] != made.Identities[0].Subject || names[i] != subject {
			t.Errorf("%s: the certificate has %q (%v), %q was said", subject, names[i], err, made.Identities[0].Subject)
		}
	}
	// virt-pki-query-dn on everything that was issued, the CA's included.
	entries := append([]string{s.Dir + "/cacert.pem", s.Dir + "/servercert.pem"}, dirs...)
	for _, file := range entries {
		if !strings.HasSuffix(file, ".pem") {
			file += "/clientcert.pem"
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := certs.QueryDN(text)
		if r := peer.QueryDN(t, file); err != nil || r.Exit != 0 || r.Stdout != want+"\n" {
			t.Errorf("%s: virt-pki-query-dn: %v\nours: %q, %v", file, r, want, err)
		}
	}

	// Each half of the names as the list: those of the list get in, the others do not.
	for half := range 2 {
		var list []string
		for i, n := range names {
			if i%2 == half {
				list = append(list, `'`+n+`'`)
			}
		}
		d := peer.Start(t, peer.Options{Dir: s.Dir, Conf: []string{"tls_allowed_dn_list = [" + strings.Join(list, ", ") + "]"}}).MustBeReady(t)
		for i, dir := range dirs {
			r := peer.Virsh(t, d.URI("pkipath="+dir))
			if in := i%2 == half; in != (r.Exit == 0) {
				t.Errorf("%s is let in: %v, want %v: %v\n%s", names[i], r.Exit == 0, in, r, d.Log())
			}
		}
		d.Stop()
	}
}

func TestCAsOfAllKinds(t *testing.T) {
	peer.Need(t, "certtool", "openssl", "libvirtd", "virsh")
	limited := caSpec(t)
	for _, text := range []string{"localhost", "127.0.0.0/8", "::1/128"} {
		if err := limited.Constraints.ParseConstraint(text, false); err != nil {
			t.Fatal(err)
		}
	}
	secret := caSpec(t)
	secret.Passphrase = []byte("correct horse")
	foreign := func(t *testing.T, make func(cert, key string)) ca.Adoption {
		dir := t.TempDir()
		cert, key := dir+"/cert.pem", dir+"/key.pem"
		make(cert, key)
		ad := ca.Adoption{CertPath: cert, KeyPath: key, Now: time.Now()}
		var err error
		if ad.Cert, err = os.ReadFile(cert); err == nil {
			ad.Key, err = os.ReadFile(key)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ad
	}
	certtool := func(t *testing.T) ca.Adoption {
		return foreign(t, func(cert, key string) {
			template := filepath.Join(t.TempDir(), "ca.cfg")
			if err := os.WriteFile(template, []byte("cn = Acme CA\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 700\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			peer.Certtool(t, "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", key)
			peer.Certtool(t, "--generate-self-signed", "--load-privkey", key, "--template", template, "--outfile", cert)
		})
	}
	openssl := func(t *testing.T) ca.Adoption {
		return foreign(t, func(cert, key string) {
			peer.OpenSSL(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=Acme/CN=Acme CA",
				"-days", "700", "-out", cert, "-keyout", key)
		})
	}
	for _, tt := range []struct {
		name       string
		own        *ca.Spec
		adopt      func(t *testing.T) ca.Adoption
		passphrase string
	}{
		{name: "plain", own: new(ca.Spec)},
		{name: "encrypted", own: &secret, passphrase: "correct horse"},
		{name: "constrained", own: &limited},
		{name: "adopted from certtool", adopt: certtool},
		{name: "adopted from openssl", adopt: openssl},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := flatSpec(t, filepath.Join(peer.Dir(t), "flat"))
			var double *ca.Authority
			var found Found
			var err error
			if tt.own != nil {
				if tt.own.Subject.IsEmpty() {
					*tt.own = caSpec(t)
				}
				double, err = tt.own.Rehearse()
				found = founded(*tt.own)
			} else {
				ad := tt.adopt(t)
				s.Now = time.Now() // those programs' CAs begin the moment they are made
				double, err = ad.Rehearse()
				found = func(ctx context.Context, dir string) (*ca.Authority, error) { return ca.Adopt(ctx, dir, ad) }
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Plan(double)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Make(context.Background(), found, Options{}); err != nil {
				t.Fatal(err)
			}
			connects(t, "flat", peer.Options{Dir: s.Dir}, peer.Place{}, "pkipath="+s.Dir)
			for _, side := range []string{"server", "client"} {
				cert := s.Dir + "/" + side + "cert.pem"
				if r := peer.Run(t, "certtool", "--verify", "--load-ca-certificate", s.Dir+"/cacert.pem", "--infile", cert); r.Exit != 0 ||
					!strings.Contains(r.Stdout, "Chain verification output: Verified. The certificate is trusted.") {
					t.Errorf("certtool: %v", r)
				}
				args := []string{"openssl", "verify", "-purpose", "ssl" + side, "-CAfile", s.Dir + "/cacert.pem"}
				if tt.own != nil { // what others made is not up to us
					args = append(args, "-x509_strict")
				}
				if r := peer.Run(t, append(args, cert)...); r.Exit != 0 {
					t.Errorf("openssl: %v", r)
				}
			}
			if tt.passphrase == "" {
				return
			}
			key := filepath.Join(s.Dir, AuthorityName, "private/cakey.pem")
			if out := peer.OpenSSL(t, "pkey", "-in", key, "-passin", "pass:"+tt.passphrase, "-noout", "-text"); !strings.Contains(out, "prime256v1") {
				t.Errorf("openssl reads %s", out)
			}
			a, err := ca.Open(context.Background(), filepath.Join(s.Dir, AuthorityName))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if err := a.Unlock(nil); !errors.Is(err, certs.ErrPassphraseNeeded) {
				t.Errorf("without passphrase: %v", err)
			}
			if err := a.Unlock([]byte("wrong")); !errors.Is(err, certs.ErrPassphrase) {
				t.Errorf("wrong passphrase: %v", err)
			}
			if err := a.Unlock([]byte(tt.passphrase)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeyUsageForNewVersionsOnly(t *testing.T) {
	cs := caSpec(t)
	cs.Policy = ca.Policy{Libvirt: ca.Since(verify.V11_3)}
	s := flatSpec(t, filepath.Join(peer.Dir(t), "flat"))
	made := makeAll(t, s, cs, Options{})
	if got := strings.Join(made.Proof.Versions, " "); got != "11.3.0 12.8.0" {
		t.Errorf("proven for %s", got)
	}
	for _, root := range peer.Roots(t) {
		here := peer.Place{Root: root.Dir}
		if root.Libvirt != "9.0.0" {
			connects(t, root.Libvirt, peer.Options{Dir: s.Dir, Place: here}, here, "pkipath="+s.Dir)
			continue
		}
		// It is for the old one that other certificates have keyEncipherment.
		d := peer.Start(t, peer.Options{Dir: s.Dir})
		if want := "Certificate " + s.Dir + "/servercert.pem usage does not permit key encipherment"; d.Ready || !strings.Contains(d.Log(), want) {
			t.Errorf("libvirtd 9.0.0 ready: %v\n%s", d.Ready, d.Log())
		}
	}
}

func TestTheReferenceValidatorPasses(t *testing.T) {
	peer.NeedNamespaces(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Dir: filepath.Join(peer.Dir(t), "cluster"), Kinds: []layout.Kind{layout.Libvirt, layout.User}, Now: time.Now(),
		Members: []Member{member(t, certs.Peer, "kvm1.example.com,"+host)}, Homes: func(string) string { return "/home/nobody" }}
	makeAll(t, s, caSpec(t), Options{WriteOptions: nobodysFiles})
	tree := s.Dir + "/kvm1.example.com"
	failed := regexp.MustCompile(`(?m)^.*: (FAIL|WARN)\b.*$`)
	for _, name := range peer.RootNames {
		t.Run(name, func(t *testing.T) {
			root := peer.NeedRootFS(t, name)
			m := peer.NewMachine(t)
			m.AddHost(t, "127.0.0.1", host)
			crash.CopyTree(t, tree+"/etc/pki", m.Path("/etc/pki"))
			home := peer.Dir(t)
			crash.CopyTree(t, tree+"/home/nobody", home)
			peer.Own(t, home, "nobody")
			for what, r := range map[string]peer.Result{
				"system": peer.Place{Machine: m, Root: root}.Run(t, "virt-pki-validate", "--system"),
				"user":   peer.Place{Machine: m, Root: root, User: "nobody", Home: home}.Run(t, "virt-pki-validate", "--user"),
			} {
				if bad := failed.FindString(r.Stdout); r.Exit != 0 || bad != "" || strings.Count(r.Stdout, ": PASS") < 10 || r.Stderr != "" {
					t.Errorf("%s: %v", what, r)
				}
			}
			// It does look.
			if err := os.Chmod(m.Path("/etc/pki/libvirt/private/serverkey.pem"), 0o644); err != nil {
				t.Fatal(err)
			}
			if r := (peer.Place{Machine: m, Root: root}).Run(t, "virt-pki-validate", "--system"); r.Exit == 0 || !failed.MatchString(r.Stdout) {
				t.Errorf("an open key passes: %v", r)
			}
		})
	}
}

func TestNothingIsWrittenForWhatSomeLibvirtRefuses(t *testing.T) {
	top := t.TempDir()
	strict := caSpec(t)
	strict.Policy = ca.Policy{Libvirt: ca.Since(verify.V9_0), StrictKeyUsage: true}
	limited := caSpec(t)
	if err := limited.Constraints.ParseConstraint("example.com", false); err != nil {
		t.Fatal(err)
	}
	for _, cs := range []ca.Spec{strict, limited} {
		double, err := cs.Rehearse()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := flatSpec(t, filepath.Join(top, "x")).Plan(double); err == nil {
			t.Error("no error")
		} else {
			t.Log(err)
		}
		// Nor when the plan was made with another CA than the one that is then there.
		_, err = plan(t, flatSpec(t, filepath.Join(top, "x")), caSpec(t)).Make(context.Background(), founded(cs), Options{})
		if err == nil {
			t.Error("no error")
		}
		empty(t, top)
	}
}
