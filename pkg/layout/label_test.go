package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
			for _, f := range AuditLabels(system(nil), c.place, c.enforced, label, func(p string) string { return "/t" + p }) {
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
