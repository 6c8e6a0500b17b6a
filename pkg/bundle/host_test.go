package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// pack makes an archive of members; a name that ends with a slash is a directory, a text "-> x" a link.
func pack(t testing.TB, members ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(members); i += 2 {
		h := &tar.Header{Name: members[i], Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(members[i+1]))}
		text := members[i+1]
		if strings.HasSuffix(h.Name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	z.Close()
	return out.Bytes()
}

func TestHostileArchivesAreRefused(t *testing.T) {
	manifest := `{"schema":1,"name":"h","entries":[{"path":"/etc/x","type":"file","content":true}]}`
	for _, c := range []struct {
		name    string
		archive []byte
		want    string
	}{
		{"good", pack(t, "h/", "", "h/"+ManifestName, manifest, "h/etc/x", "text"), ""},
		{"no archive", []byte("text"), "it is no .tar.gz: unexpected EOF"},
		{"no manifest", pack(t, "h/etc/x", "text"), "it has no virt-pki-bundle.json"},
		{"a member outside", pack(t, "h/"+ManifestName, manifest, "../etc/x", "text"), `the member "../etc/x" is outside of its directory`},
		{"an absolute member", pack(t, "h/"+ManifestName, manifest, "/etc/x", "text"), `the member "/etc/x" is outside of its directory`},
		{"a second directory", pack(t, "h/"+ManifestName, manifest, "i/etc/x", "text"), `the member "i/etc/x" is outside of its directory`},
		{"a link", pack(t, "h/"+ManifestName, manifest, "h/etc/x", "-> /etc/shadow"), `the member "h/etc/x" is no file and no directory`},
		{"twice", pack(t, "h/"+ManifestName, manifest, "h/etc/x", "a", "h/etc/x", "b"), `the member "h/etc/x" is there twice`},
		{"a missing file", pack(t, "h/"+ManifestName, manifest), `virt-pki-bundle.json names "/etc/x", which is missing`},
		{"another schema", pack(t, "h/"+ManifestName, `{"schema":2,"name":"h"}`), "virt-pki-bundle.json: schema 2 is not 1, the one that this virt-pki reads"},
		{"no name", pack(t, "h/"+ManifestName, `{"schema":1}`), "virt-pki-bundle.json: the host has no name"},
		{"a path that leaves", pack(t, "h/"+ManifestName, `{"schema":1,"name":"h","entries":[{"path":"/../x","type":"file"}]}`),
			`virt-pki-bundle.json: the path "/../x" is not absolute and plain`},
		{"a key's id that is none", pack(t, "h/"+ManifestName, `{"schema":1,"name":"h","entries":[{"path":"/x","type":"file","key":{"public_key_sha256":"12"}}]}`),
			`virt-pki-bundle.json: "/x": the public key's "12" is no SHA-256`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(c.archive))
			if got := ""; err != nil {
				got = err.Error()
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			} else if c.want != "" {
				t.Errorf("it was read; want %q", c.want)
			}
		})
	}
}

// closed is a tree of which some paths may not be looked at.
type closed struct {
	fstest.MapFS
	paths []string
}

func (c closed) denied(name string) error {
	for _, p := range c.paths {
		if name == p || strings.HasPrefix(name, p+"/") {
			return &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
		}
	}
	return nil
}

func (c closed) Open(name string) (fs.File, error) {
	if err := c.denied(name); err != nil {
		return nil, err
	}
	return c.MapFS.Open(name)
}

func (c closed) ReadFile(name string) ([]byte, error) {
	if err := c.denied(name); err != nil {
		return nil, err
	}
	return c.MapFS.ReadFile(name)
}

func (c closed) Lstat(name string) (fs.FileInfo, error) {
	for _, p := range c.paths {
		if strings.HasPrefix(name, p+"/") {
			return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
		}
	}
	return c.MapFS.Lstat(name)
}

func TestWhatCannotBeLookedAtIsNoted(t *testing.T) {
	ca := testpki.NewCA(t)
	server := ca.Server("kvm1")
	b, err := Collect(closed{fstest.MapFS{
		"etc/hostname":                          {Data: []byte("kvm1\n")},
		"etc/pki/CA/cacert.pem":                 {Data: ca.CertPEM()},
		"etc/pki/libvirt/servercert.pem":        {Data: server.CertPEM()},
		"etc/pki/libvirt/private/serverkey.pem": {Data: server.KeyPEM()},
		"etc/libvirt/libvirtd.conf":             {Data: []byte("listen_tls = 1\n")},
	}, []string{"etc/pki/libvirt/private", "etc/libvirt/libvirtd.conf"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	unread := strings.Join(b.Unread(), "\n")
	for _, want := range []string{"/etc/libvirt/libvirtd.conf: permission denied", "/etc/pki/libvirt/private/serverkey.pem: permission denied"} {
		if !strings.Contains(unread, want) {
			t.Errorf("unread is\n%s\nwant %s", unread, want)
		}
	}
	h := b.Host()
	if w := h.Withheld("/etc/pki/libvirt/private/serverkey.pem"); w == nil || w.PublicKey != nil || w.Rule != "" {
		t.Errorf("the key that could not be looked at: %+v", w)
	}
	if !h.Exists("/etc/pki/libvirt/private/serverkey.pem") || h.Exists("/etc/pki/libvirt/private/serverkey0.pem") {
		t.Error("the key is taken to be there, one with an index is not")
	}
	if _, err := h.ReadFile("/etc/libvirt/libvirtd.conf"); !isPermission(err) {
		t.Errorf("reading what could not be read: %v", err)
	}
}

func isPermission(err error) bool {
	return err != nil && strings.Contains(err.Error(), "permission denied")
}

func FuzzRead(f *testing.F) {
	manifest := `{"schema":1,"name":"h","entries":[{"path":"/etc/x","type":"file","content":true},{"path":"/a","type":"symlink","link":"../a"}]}`
	f.Add([]byte(manifest), "h/etc/x")
	f.Add([]byte(`{"schema":1,"name":"h","entries":[{"path":"/etc","type":"file"},{"path":"/etc/x","type":"directory"}]}`), "h/etc/x")
	f.Fuzz(func(t *testing.T, manifest []byte, name string) {
		if strings.ContainsRune(name, 0) || len(name) > 90 || strings.HasSuffix(name, "/") {
			return
		}
		for _, archive := range [][]byte{pack(t, "h/"+ManifestName, string(manifest), name, "text"), manifest} {
			if tree, err := ReadTree(bytes.NewReader(archive)); err == nil {
				_ = fs.WalkDir(tree, ".", func(string, fs.DirEntry, error) error { return nil })
			}
			b, err := Read(bytes.NewReader(archive))
			if err != nil {
				continue
			}
			h := b.Host()
			for _, e := range b.Manifest.Entries {
				h.Exists(e.Path)
				h.Withheld(e.Path)
				_, _ = h.ReadFile(e.Path)
			}
			_ = fs.WalkDir(h.FS(), ".", func(string, fs.DirEntry, error) error { return nil })
		}
	})
}
