package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProgramsThatAreStartedGetNoneOfOurSecrets(t *testing.T) {
	got := environmentOfOthers([]string{"PATH=/bin", "VIRT_PKI_PASSPHRASE=a", "VIRT_PKI_BACKUP_PASSPHRASE=b", "VIRT_PKI_DB=postgres://u:c@h/d",
		"PGPASSWORD=d", "SOFTHSM2_CONF=/etc/softhsm2.conf", "VIRT_PKI_PASSPHRASE_HINT=e"})
	want := []string{"PATH=/bin", "SOFTHSM2_CONF=/etc/softhsm2.conf", "VIRT_PKI_PASSPHRASE_HINT=e"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAProgramBesideVirtPKIIsNotAnybodys(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	make := func(name string, uid int) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(file, uid, uid); err != nil {
			t.Fatal(err)
		}
		return file
	}
	link := func(name, to string, uid int) string {
		file := filepath.Join(dir, name)
		if err := os.Symlink(to, file); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(file, uid, uid); err != nil {
			t.Fatal(err)
		}
		return file
	}
	roots, users, strangers := make("roots", 0), make("users", 1000), make("strangers", 65534)
	for _, c := range []struct {
		name, file, self string
		want             bool
	}{
		{"root's beside root's", roots, roots, true},
		{"a user's beside the user's own virt-pki", users, users, true},
		{"root's beside a user's", roots, users, true},
		{"a stranger's beside root's", strangers, roots, false},
		{"a stranger's beside a user's", strangers, users, false},
		{"a stranger's link to root's", link("link", roots, 65534), roots, false},
		{"root's link to a stranger's", link("back", strangers, 0), roots, false},
		{"nothing", filepath.Join(dir, "nothing"), roots, false},
	} {
		if got := ours(c.file, c.self); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
