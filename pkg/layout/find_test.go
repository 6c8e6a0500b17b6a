package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// indexed gives a server's paths with indices.
func indexed(p Paths, indices ...int) []Paths {
	var out []Paths
	for _, i := range indices {
		out = append(out, Paths{CA: p.CA, CRL: p.CRL, Cert: fmt.Sprintf("/etc/pki/libvirt/servercert%d.pem", i), Key: fmt.Sprintf("/etc/pki/libvirt/private/serverkey%d.pem", i)})
	}
	return out
}

func TestFindFollowsLibvirt(t *testing.T) {
	const h, e = "home/ann/.pki/libvirt/", "etc/pki/libvirt/"
	system := []string{"etc/pki/CA/cacert.pem", e + "servercert.pem", e + "private/serverkey.pem", e + "clientcert.pem", e + "private/clientkey.pem"}
	client, server := Place{Kind: Libvirt}.Paths(certs.Client), Place{Kind: Libvirt}.Paths(certs.Server)
	own := Place{Kind: User, Dir: "/home/ann"}.Paths(certs.Client)
	ann := Search{Role: certs.Client, Home: "/home/ann"}
	strict := func(s Search) Search { s.StrictPairs = true; return s }
	noCRL := func(p Paths) Paths { p.CRL = ""; return p }
	for _, c := range []struct {
		name   string
		files  []string
		search Search
		want   Found
		err    string
	}{
		{"root looks in /etc only", append([]string{h + "cacert.pem", h + "clientcert.pem", h + "clientkey.pem"}, system...),
			Search{Role: certs.Client, Root: true, Home: "/home/ann"}, Found{Paths: noCRL(client)}, ""},
		{"a user's own files come first", append([]string{h + "cacert.pem", h + "cacrl.pem", h + "clientcert.pem", h + "clientkey.pem"}, system...),
			strict(ann), Found{Paths: own}, ""},
		{"only the CA at home", append([]string{h + "cacert.pem"}, system...),
			strict(ann), Found{Paths: Paths{CA: own.CA, Cert: client.Cert, Key: client.Key}}, ""},
		{"only the CRL at home", append([]string{h + "cacrl.pem"}, system...),
			ann, Found{Paths: Paths{CA: client.CA, CRL: own.CRL, Cert: client.Cert, Key: client.Key}}, ""},
		{"half a pair at home, before 11.10", append([]string{h + "clientkey.pem"}, system...), ann, Found{Paths: noCRL(client)}, ""},
		{"a key alone at home, since 11.10", append([]string{h + "clientkey.pem"}, system...), strict(ann), Found{},
			"Certificate '/home/ann/.pki/libvirt/clientcert.pem' does not exist, but key '/home/ann/.pki/libvirt/clientkey.pem' does: No such file or directory"},
		{"a certificate alone at home, since 11.10", append([]string{h + "clientcert.pem"}, system...), strict(ann), Found{},
			"Key '/home/ann/.pki/libvirt/clientkey.pem' does not exist, but certificate '/home/ann/.pki/libvirt/clientcert.pem' does: No such file or directory"},
		{"half a pair in /etc, before 11.10", []string{"etc/pki/CA/cacert.pem", e + "clientcert.pem"}, ann,
			Found{Paths: Paths{CA: client.CA}, MissingKey: true}, ""},
		{"half a pair in /etc, since 11.10", []string{"etc/pki/CA/cacert.pem", e + "clientcert.pem"}, strict(ann), Found{},
			"Key '/etc/pki/libvirt/private/clientkey.pem' does not exist, but certificate '/etc/pki/libvirt/clientcert.pem' does: No such file or directory"},
		{"no pair: the client goes on without", []string{"etc/pki/CA/cacert.pem"}, strict(ann),
			Found{Paths: Paths{CA: client.CA}, MissingCert: true, MissingKey: true}, ""},
		{"pkipath has no fallback", system, Search{Role: certs.Client, Home: "/home/ann", PkiPath: "/srv/p", StrictPairs: true},
			Found{Paths: Paths{CA: "/srv/p/cacert.pem"}, MissingCA: true, MissingCert: true, MissingKey: true}, ""},
		{"a server without its certificate", []string{"etc/pki/CA/cacert.pem", e + "private/serverkey.pem"},
			Search{Role: certs.Server, Root: true, StrictPairs: true}, Found{Paths: noCRL(server), MissingCert: true}, ""},
		{"a server without its key, since 11.10", []string{"etc/pki/CA/cacert.pem", e + "servercert.pem"},
			Search{Role: certs.Server, Root: true, StrictPairs: true}, Found{},
			"Key '/etc/pki/libvirt/private/serverkey.pem' does not exist, but certificate '/etc/pki/libvirt/servercert.pem' does: No such file or directory"},
		{"a server without its key, before 11.10", []string{"etc/pki/CA/cacert.pem", e + "servercert.pem"},
			Search{Role: certs.Server, Root: true}, Found{Paths: noCRL(server), MissingKey: true}, ""},
		{"identities with an index, since 11.10", append([]string{e + "servercert0.pem", e + "private/serverkey0.pem", e + "servercert1.pem",
			e + "private/serverkey1.pem", e + "servercert3.pem", e + "private/serverkey3.pem"}, system...), Search{Role: certs.Server, Root: true, StrictPairs: true},
			Found{Paths: noCRL(server), More: indexed(noCRL(server), 0, 1)}, ""},
		{"the same before 11.10", append([]string{e + "servercert0.pem", e + "private/serverkey0.pem"}, system...), Search{Role: certs.Server, Root: true},
			Found{Paths: noCRL(server)}, ""},
		{"only one with an index", []string{"etc/pki/CA/cacert.pem", e + "servercert0.pem", e + "private/serverkey0.pem"},
			Search{Role: certs.Server, Root: true, StrictPairs: true}, Found{Paths: indexed(noCRL(server), 0)[0]}, ""},
		{"index 1 alone is not found", []string{"etc/pki/CA/cacert.pem", e + "servercert1.pem", e + "private/serverkey1.pem"},
			Search{Role: certs.Server, Root: true, StrictPairs: true}, Found{Paths: noCRL(server), MissingCert: true, MissingKey: true}, ""},
		{"index 4 is not looked for, nor names with a dash", append([]string{e + "clientcert4.pem", e + "clientcert-0.pem"}, system...), strict(ann),
			Found{Paths: noCRL(client)}, ""},
		{"half an identity with an index", append([]string{e + "clientcert0.pem"}, system...), strict(ann), Found{},
			"Key '/etc/pki/libvirt/private/clientkey0.pem' does not exist, but certificate '/etc/pki/libvirt/clientcert0.pem' does: No such file or directory"},
		{"a server's key with an index, in the wrong directory", append([]string{e + "servercert0.pem", e + "serverkey0.pem"}, system...),
			Search{Role: certs.Server, Root: true, StrictPairs: true}, Found{},
			"Key '/etc/pki/libvirt/private/serverkey0.pem' does not exist, but certificate '/etc/pki/libvirt/servercert0.pem' does: No such file or directory"},
		{"one with an index at home, so that /etc is not used", append([]string{h + "clientcert0.pem", h + "clientkey0.pem"}, system...), strict(ann),
			Found{Paths: Paths{CA: client.CA, Cert: "/home/ann/.pki/libvirt/clientcert0.pem", Key: "/home/ann/.pki/libvirt/clientkey0.pem"}}, ""},
		{"the same before 11.10: /etc is used", append([]string{h + "clientcert0.pem", h + "clientkey0.pem"}, system...), ann, Found{Paths: noCRL(client)}, ""},
		{"a server's key without certificate beside one with an index", []string{"etc/pki/CA/cacert.pem", e + "private/serverkey.pem", e + "servercert0.pem", e + "private/serverkey0.pem"},
			Search{Role: certs.Server, Root: true, StrictPairs: true}, Found{},
			"Certificate '/etc/pki/libvirt/servercert.pem' does not exist, but key '/etc/pki/libvirt/private/serverkey.pem' does: No such file or directory"},
		{"a peer does not look for files", system, Search{Role: certs.Peer}, Found{},
			"looking for the credentials of a peer: only a server and a client look for them"},
	} {
		m := fstest.MapFS{}
		for _, f := range c.files {
			m[f] = &fstest.MapFile{Mode: 0o600}
		}
		got, err := Find(m, c.search)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || text != c.err {
			t.Errorf("%s: error %q, want %q (-want +got)\n%s", c.name, text, c.err, diff)
		}
	}
}

func TestFindTakesADanglingLinkForNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"p/cacert.pem", "p/clientkey.pem"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "p/clientcert.pem")); err != nil {
		t.Fatal(err)
	}
	got, err := Find(openDir(t, dir).Root().FS(), Search{Role: certs.Client, PkiPath: "/p"})
	want := Found{Paths: Paths{CA: "/p/cacert.pem"}, MissingCert: true}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	// A link out of the root is neither followed nor taken for absence.
	if err := os.Remove(filepath.Join(dir, "p/clientcert.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "p/clientcert.pem")); err != nil {
		t.Fatal(err)
	}
	_, err = Find(openDir(t, dir).Root().FS(), Search{Role: certs.Client, PkiPath: "/p"})
	if err == nil || errors.Is(err, fs.ErrNotExist) || err.Error() != `looking for "/p/clientcert.pem": path escapes from parent` {
		t.Errorf("a link out of the root: %v", err)
	}
}
