package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/selinux"
)

func TestLabelsOfSystemPlaces(t *testing.T) {
	const good = "system_u:object_r:cert_t:s0\x00"
	for _, c := range []struct {
		name     string
		place    Place
		enforced bool
		labels   map[string]string // others are good; "-" has none
		want     []string
	}{
		{name: "in order", place: Place{Kind: Libvirt}, enforced: true},
		{name: "moved from root's home", place: Place{Kind: Libvirt}, enforced: true,
			labels: map[string]string{"/etc/pki/libvirt/private/serverkey.pem": "unconfined_u:object_r:admin_home_t:s0"},
			want:   []string{"/t/etc/pki/libvirt/private/serverkey.pem: its SELinux type is admin_home_t; cert_t is usual | restorecon -v /t/etc/pki/libvirt/private/serverkey.pem"}},
		{name: "another policy's type", place: Place{Kind: Libvirt}, labels: map[string]string{"/etc/pki/CA/cacert.pem": "system_u:object_r:virt_cert_t:s0:c1,c2"}},
		{name: "a directory with /etc's type", place: Place{Kind: Libvirt}, labels: map[string]string{"/etc/pki": "system_u:object_r:etc_t:s0"}},
		{name: "no label where there is SELinux", place: Place{Kind: Libvirt}, enforced: true, labels: map[string]string{"/etc/pki/CA/cacert.pem": "-"},
			want: []string{"/t/etc/pki/CA/cacert.pem: it has no SELinux label; cert_t is usual | restorecon -v /t/etc/pki/CA/cacert.pem"}},
		{name: "no label where there is none", place: Place{Kind: Libvirt}, labels: map[string]string{"/etc/pki/CA/cacert.pem": "-"}},
		{name: "a label that is none", place: Place{Kind: Libvirt}, labels: map[string]string{"/etc/pki/CA/cacert.pem": "x"},
			want: []string{`/t/etc/pki/CA/cacert.pem: its SELinux type is unreadable ("x"); cert_t is usual | restorecon -v /t/etc/pki/CA/cacert.pem`}},
		{name: "a user's files are not looked at", place: Place{Kind: User, Dir: "/home/ann"}, enforced: true,
			labels: map[string]string{"/home/ann/.pki/libvirt/cacert.pem": "-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			label := func(path string) (string, error) {
				switch l := c.labels[path]; l {
				case "":
					return good, nil
				case "-":
					return "", ErrNoLabel
				default:
					return l, nil
				}
			}
			var got []string
			l := Labels{Read: label}
			if c.enforced {
				l.Mode = selinux.Enforcing
			}
			found, _ := AuditLabels(system(nil), c.place, l, func(p string) string { return "/t" + p })
			for _, f := range found {
				if f.Rule != "selinux-label" {
					t.Error(f.Rule)
				}
				got = append(got, f.Subject+": "+f.Message+" | "+f.Remedy)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLabelsAreComparedWithThePolicy(t *testing.T) {
	policy := map[string]string{
		"/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=t\n",
		"/etc/selinux/t/contexts/files/file_contexts": "/etc/pki(/.*)?\tsystem_u:object_r:cert_t:s0\n/etc/pki/.*/private(/.*)?\tsystem_u:object_r:tls_privkey_t:s0\n" +
			"/etc/pki/CA/cacrl\\.pem -- <<none>>\n",
		"/etc/selinux/t/contexts/customizable_types": "svirt_image_t\n",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := policy[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	p, err := selinux.Load(read)
	if err != nil {
		t.Fatal(err)
	}
	const key = "/etc/pki/libvirt/private/serverkey.pem"
	for _, c := range []struct {
		name   string
		mode   selinux.Mode
		labels map[string]string // others are the policy's; "-" has none
		want   []string
	}{
		{name: "all as the policy has it", mode: selinux.Enforcing},
		{name: "moved from root's home", mode: selinux.Enforcing, labels: map[string]string{key: "unconfined_u:object_r:admin_home_t:s0"},
			want: []string{"warning " + key + ": its SELinux type is admin_home_t; the policy's for it is tls_privkey_t | restorecon -v " + key}},
		{name: "a key with the type of certificates", mode: selinux.Permissive, labels: map[string]string{key: "system_u:object_r:cert_t:s0\x00"},
			want: []string{"warning " + key + ": its SELinux type is cert_t; the policy's for it is tls_privkey_t (SELinux is permissive here: what the policy denies is " +
				"only logged) | restorecon -v " + key}},
		{name: "another user and level", mode: selinux.Enforcing, labels: map[string]string{key: "x_u:object_r:tls_privkey_t:s0:c1"}},
		{name: "a type that restorecon leaves alone", mode: selinux.Enforcing, labels: map[string]string{key: "u:r:svirt_image_t:s0"},
			want: []string{"warning " + key + ": its SELinux type is svirt_image_t; the policy's for it is tls_privkey_t | restorecon -F -v " + key}},
		{name: "none", mode: selinux.Enforcing, labels: map[string]string{key: "-"},
			want: []string{"warning " + key + ": it has no SELinux label; the policy's for it is tls_privkey_t | restorecon -v " + key}},
		{name: "none, and no SELinux", labels: map[string]string{key: "-"}},
		{name: "SELinux is switched off", mode: selinux.Disabled, labels: map[string]string{key: "u:r:x_t:s0"}},
		{name: "the policy sets none", mode: selinux.Enforcing, labels: map[string]string{"/etc/pki/CA/cacrl.pem": "u:r:x_t:s0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := Labels{Expected: p.Label, Customizable: p.Customizable, Mode: c.mode, Read: func(path string) (string, error) {
				switch label := c.labels[path]; label {
				case "":
					return p.Label(path, 0)
				case "-":
					return "", ErrNoLabel
				default:
					return label, nil
				}
			}}
			found, unchecked := AuditLabels(system(nil), Place{Kind: Libvirt}, l, func(p string) string { return p })
			var got []string
			for _, f := range found {
				got = append(got, f.Severity.String()+" "+f.Subject+": "+f.Message+" | "+f.Remedy)
			}
			if d := cmp.Diff(c.want, got); d != "" || len(unchecked) > 0 {
				t.Errorf("%s%q", d, unchecked)
			}
		})
	}
	delete(policy, "/etc/selinux/t/contexts/files/file_contexts")
	policy["/etc/selinux/t/contexts/files/file_contexts"] = "/etc/pki(?!/x)(/.*)? u:r:x_t:s0\n"
	if p, err = selinux.Load(read); err != nil {
		t.Fatal(err)
	}
	l := Labels{Expected: p.Label, Mode: selinux.Enforcing, Read: func(string) (string, error) { return "u:r:x_t:s0", nil }}
	if found, unchecked := AuditLabels(system(nil), Place{Kind: Libvirt}, l, func(p string) string { return p }); len(found) > 0 || len(unchecked) == 0 {
		t.Errorf("an expression that is not understood: %v, %q", found, unchecked)
	}
}

func TestLabelOfAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Label(name); err != nil && !errors.Is(err, ErrNoLabel) {
		t.Errorf("%q, %v", l, err)
	}
	if _, err := Label(name + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
}
