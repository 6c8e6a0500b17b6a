package layout

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// entry is a file of a given mode and owner.
func entry(mode fs.FileMode, uid, gid uint32) *fstest.MapFile {
	return &fstest.MapFile{Mode: mode, Sys: &syscall.Stat_t{Uid: uid, Gid: gid}}
}

// system is a good /etc/pki with changes laid over it; a nil entry takes a file away.
func system(changes map[string]*fstest.MapFile) fstest.MapFS {
	m := fstest.MapFS{
		"etc/pki":                                entry(fs.ModeDir|0o755, 0, 0),
		"etc/pki/CA":                             entry(fs.ModeDir|0o755, 0, 0),
		"etc/pki/libvirt":                        entry(fs.ModeDir|0o755, 0, 0),
		"etc/pki/libvirt/private":                entry(fs.ModeDir|0o755, 0, 0),
		"etc/pki/CA/cacert.pem":                  entry(0o644, 0, 0),
		"etc/pki/libvirt/servercert.pem":         entry(0o644, 0, 0),
		"etc/pki/libvirt/private/serverkey.pem":  entry(0o600, 0, 0),
		"etc/pki/libvirt/clientcert.pem":         entry(0o644, 0, 0),
		"etc/pki/libvirt/private/clientkey.pem":  entry(0o644, 0, 0),
		"etc/pki/qemu":                           entry(fs.ModeDir|0o755, 0, 0),
		"etc/pki/qemu/ca-cert.pem":               entry(0o644, 0, 0),
		"etc/pki/qemu/server-cert.pem":           entry(0o644, 0, 0),
		"etc/pki/qemu/server-key.pem":            entry(0o640, 0, 107),
		"home/ann/.pki":                          entry(fs.ModeDir|0o700, 1000, 1000),
		"home/ann/.pki/libvirt":                  entry(fs.ModeDir|0o700, 1000, 1000),
		"home/ann/.pki/libvirt/cacert.pem":       entry(0o600, 1000, 1000),
		"home/ann/.pki/libvirt/clientcert.pem":   entry(0o600, 1000, 1000),
		"home/ann/.pki/libvirt/clientkey.pem":    entry(0o600, 1000, 1000),
		"home/ann/.pki/libvirt/unrelated/a-file": entry(0o666, 5, 5),
	}
	for name, f := range changes {
		if f == nil {
			delete(m, name)
		} else {
			m[name] = f
		}
	}
	return m
}

func TestAuditOfGoodPlacesFindsNothing(t *testing.T) {
	for _, p := range []Place{{Kind: Libvirt}, {Kind: User, Dir: "/home/ann"}, {Kind: QEMU}, {Kind: QEMU, Group: "kvm"}, {Kind: QEMUNBD}} {
		r := Audit(system(nil), p, 1000, nil)
		if len(r.Findings) > 0 || len(r.Unchecked) > 0 {
			t.Errorf("%s: %v %v", p.Kind, r.Findings, r.Unchecked)
		}
	}
	r := Audit(system(nil), Place{Kind: Libvirt}, 1000, nil)
	if diff := cmp.Diff([]certs.Role{certs.Server, certs.Client}, r.Present); diff != "" || !r.CA {
		t.Errorf("present: %s, CA %v", diff, r.CA)
	}
	r = Audit(system(nil), Place{Kind: QEMUNBD}, 1000, nil)
	if r.Present != nil || r.CA {
		t.Errorf("an absent place: %v, CA %v", r.Present, r.CA)
	}
}

func TestAuditNamesWhatIsWrong(t *testing.T) {
	libvirt, ann, qemu := Place{Kind: Libvirt}, Place{Kind: User, Dir: "/home/ann"}, Place{Kind: QEMU}
	type change = map[string]*fstest.MapFile
	covered := map[string]bool{}
	for _, c := range []struct {
		name   string
		place  Place
		change change
		want   string // subject [rule] message | remedy
	}{
		{"a server key that all can read", libvirt, change{"etc/pki/libvirt/private/serverkey.pem": entry(0o644, 0, 0)},
			"/etc/pki/libvirt/private/serverkey.pem [key-readable-by-others] its mode is 0644: others can read the private key; it should be 0600 | chmod 0600 /etc/pki/libvirt/private/serverkey.pem"},
		{"a user's key that its group can read", ann, change{"home/ann/.pki/libvirt/clientkey.pem": entry(0o640, 1000, 1000)},
			"/home/ann/.pki/libvirt/clientkey.pem [key-readable-by-others] its mode is 0640: others can read the private key; it should be 0600 | chmod 0600 /home/ann/.pki/libvirt/clientkey.pem"},
		{"a CA file that all can write", libvirt, change{"etc/pki/CA/cacert.pem": entry(0o666, 0, 0)},
			"/etc/pki/CA/cacert.pem [writable-by-others] its mode is 0666: others can replace what libvirt trusts; it should be 0644 | chmod 0644 /etc/pki/CA/cacert.pem"},
		{"a directory that a group can write", libvirt, change{"etc/pki": entry(fs.ModeDir|0o775, 0, 0)},
			"/etc/pki [writable-by-others] its mode is 0775: others can replace what libvirt trusts; it should be 0755 | chmod 0755 /etc/pki"},
		{"a closed system directory", libvirt, change{"etc/pki/libvirt/private": entry(fs.ModeDir|0o700, 0, 0)},
			"/etc/pki/libvirt/private [directory-closed] its mode is 0700: users other than root find nothing below it; it should be 0755 | chmod 0755 /etc/pki/libvirt/private"},
		{"a closed system certificate", libvirt, change{"etc/pki/libvirt/clientcert.pem": entry(0o600, 0, 0)},
			"/etc/pki/libvirt/clientcert.pem [certificate-closed] its mode is 0600: users other than root cannot read it; it should be 0644 | chmod 0644 /etc/pki/libvirt/clientcert.pem"},
		{"a stricter client key", libvirt, change{"etc/pki/libvirt/private/clientkey.pem": entry(0o600, 0, 0)},
			"/etc/pki/libvirt/private/clientkey.pem [validator-mode] its mode is 0600; virt-pki-validate accepts 0644 only, libvirt itself any | chmod 0644 /etc/pki/libvirt/private/clientkey.pem"},
		{"another user's file", libvirt, change{"etc/pki/CA/cacert.pem": entry(0o644, 1000, 0)},
			"/etc/pki/CA/cacert.pem [wrong-owner] it belongs to user 1000, not to user 0 | chown 0:0 /etc/pki/CA/cacert.pem"},
		{"a link", ann, change{"home/ann/.pki/libvirt/cacert.pem": {Mode: fs.ModeSymlink, Data: []byte("/etc/passwd")}},
			"/home/ann/.pki/libvirt/cacert.pem [credential-is-link] it is a symbolic link; libvirt follows it, virt-pki does not write through it | "},
		{"a directory in a file's place", libvirt, change{"etc/pki/libvirt/servercert.pem": entry(fs.ModeDir|0o755, 0, 0)},
			"/etc/pki/libvirt/servercert.pem [not-a-file] it is a directory, not a file | "},
		{"a pipe in a directory's place", qemu, change{"etc/pki/qemu": entry(fs.ModeNamedPipe|0o644, 0, 0),
			"etc/pki/qemu/ca-cert.pem": nil, "etc/pki/qemu/server-cert.pem": nil, "etc/pki/qemu/server-key.pem": nil},
			"/etc/pki/qemu [not-a-file] it is a named pipe, not a directory | "},
		{"a QEMU key that only root can read", qemu, change{"etc/pki/qemu/server-key.pem": entry(0o600, 0, 0)},
			"/etc/pki/qemu/server-key.pem [qemu-key-unreadable] only root can read it, but QEMU runs as another user (libvirt-qemu or qemu) | chgrp kvm /etc/pki/qemu/server-key.pem; chmod 0640 /etc/pki/qemu/server-key.pem    (Fedora: chgrp qemu)"},
		{"a QEMU key that all can read", qemu, change{"etc/pki/qemu/server-key.pem": entry(0o644, 0, 107)},
			"/etc/pki/qemu/server-key.pem [key-readable-by-others] its mode is 0644: others can read the private key; it should be 0600 | chmod 0600 /etc/pki/qemu/server-key.pem"},
		{"a CA where the documentation says", ann, change{"home/ann/.pki/cacert.pem": entry(0o600, 1000, 1000), "home/ann/.pki/libvirt/cacert.pem": nil},
			"/home/ann/.pki/cacert.pem [documented-place-not-read] it is never read; libvirt looks for /home/ann/.pki/libvirt/cacert.pem | mv /home/ann/.pki/cacert.pem /home/ann/.pki/libvirt/cacert.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range Audit(system(c.change), c.place, 1000, nil).Findings {
				covered[f.Rule] = true
				got = append(got, f.Subject+" ["+f.Rule+"] "+f.Message+" | "+f.Remedy)
			}
			if diff := cmp.Diff([]string{c.want}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for _, r := range Rules() {
		if !covered[r.ID] && r.ID != ruleLabel.ID { // see TestLabelsOfSystemPlaces
			t.Errorf("no bad case for the rule %s", r.ID)
		}
		if r.Good == "" || r.Bad == "" || r.Source == "" || r.Text == "" || r.Title == "" {
			t.Errorf("the rule %s lacks a text", r.ID)
		}
	}
}

// closed is a file system in which one directory may not be entered.
type closed struct {
	fstest.MapFS
	dir string
}

func (c closed) Lstat(name string) (fs.FileInfo, error) {
	if strings.HasPrefix(name, c.dir+"/") {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: syscall.EACCES}
	}
	return c.MapFS.Lstat(name)
}

func TestAuditSaysWhatItCouldNotLookAt(t *testing.T) {
	r := Audit(closed{system(nil), "etc/pki/libvirt"}, Place{Kind: Libvirt}, 1000, nil)
	if diff := cmp.Diff([]string{"/etc/pki/libvirt/private: permission denied"}, r.Unchecked); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A tree for another machine is cured where it lies: never the directories of this one.
func TestAuditAsNamesPathsAndRemediesByWhereTheTreeLies(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "serverkey.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"serverkey.pem": 0o644, ".": 0o755} {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	shown := func(p string) string { return filepath.Join("my pki", p) }
	r := Audit(os.DirFS(root), Place{Kind: PkiPath, Dir: "/"}, -1, shown)
	got := map[string]string{}
	for _, f := range r.Findings {
		got[f.Subject] = f.Remedy
	}
	want := map[string]string{"my pki": "chmod 0700 'my pki'", "my pki/serverkey.pem": "chmod 0600 'my pki/serverkey.pem'"}
	if !maps.Equal(got, want) {
		t.Errorf("remedies %q, want %q", got, want)
	}
}
