package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io/fs"
	"runtime"
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

// sparseArchive has six files of 100 MiB that are nothing but holes, made with GNU tar 1.34: tar --format=posix --sparse -c h | gzip -9n.
const sparseArchive = "H4sIAAAAAAACA+3ay0rDQBSA4VnnKfIETeZaXXSrrkQQH2DAgVR6kaRC8ekditCaRitihyT9/03KpFDC4eTbtCrE2StjU2t311j7evxZSmWM" +
	"yK1I0Fuz8XX8+Xq93vz0vVP32w83kKriwW/vgn8OdVPI883fxYF+N3+5v/c5/9JIJfJtyvmLy0yp/Pb+adK8+roJk6V/WdczmbVO56t4WmZKH56u/DLM" +
	"qkJm+stxHfyimb+HWRzilZ26sswE9Xj/4+wed6O7mS/CxF5b/d/vgRP7L4/f/0ZrKfIy5f5f6PtfZvs9ZVMvcf8P/Fc98l/j/yD8V/g/Ov9V0v3v9l/h" +
	"P/5TUv91j/w3+D8I/zX+j85/nXT/u/3X+I//lNR/0yP/Lf4Pwn+D/6Pz3yTd/27/Df7jPyX1/0x/uPiT/w7/B+G/xf/R+W+T7n+3/xb/8Z+S+u965P8U" +
	"/wfhv8P/0fnvku5/t/8O//GfiIiIiIiIiIiIiIiIiIiIftMH15KrywBQAAA="

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
		{"holes, which take no room in the archive", unbase64(t, sparseArchive), `the member "h/1" is sparse`},
		{"more directories than a machine has", pack(t, "h/"+ManifestName, deep(600, 2000)), "virt-pki-bundle.json: it names too many directories"},
		{"a path longer than PATH_MAX", pack(t, "h/"+ManifestName, deep(1, 2500)),
			fmt.Sprintf("virt-pki-bundle.json: the path %q is not absolute and plain", "/0"+strings.Repeat("/a", 2500))},
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

// deep gives a manifest of some paths with as many directories.
func deep(paths, depth int) string {
	var entries []string
	for i := range paths {
		entries = append(entries, fmt.Sprintf(`{"path":"/%d%s","type":"file"}`, i, strings.Repeat("/a", depth)))
	}
	return `{"schema":1,"name":"h","entries":[` + strings.Join(entries, ",") + `]}`
}

func unbase64(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTreesWithHolesAreRefused(t *testing.T) {
	_, err := ReadTree(bytes.NewReader(unbase64(t, sparseArchive)))
	if err == nil || err.Error() != `the member "h/1" is sparse` {
		t.Error(err)
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

func TestAManifestOfEmptyEntriesTakesLittleMemory(t *testing.T) {
	text := []byte(`{"schema":1,"name":"h","entries":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, err := parseManifest(text)
	runtime.ReadMemStats(&after)
	if err == nil || err.Error() != `the path "" is not absolute and plain` {
		t.Errorf("got %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4*uint64(len(text)) {
		t.Errorf("a manifest of %d octets took %d", len(text), took)
	}
}
