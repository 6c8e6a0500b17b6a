package installation_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/installation"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/testcluster"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

const certFile, keyFile = "/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/private/serverkey.pem"

// trees makes a cluster and gives the trees of its hosts.
func trees(t *testing.T, kinds ...layout.Kind) (kvm1, kvm2 fs.FS) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	testcluster.Make(t, testcluster.Spec(t, dir, kinds...)).Close()
	return os.DirFS(dir + "/kvm1.example.com"), os.DirFS(dir + "/kvm2.example.com")
}

// installed compares, and lists the files (not the directories) with what becomes of them; then it applies.
func installed(t *testing.T, tree fs.FS, root string, o installation.Options) []string {
	t.Helper()
	plan, err := installation.Compare(tree, root, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range plan.Items {
		if i.Part == layout.Directory {
			continue
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", i.Fate, i.Path, i.Backup)))
	}
	if err := plan.Apply(); err != nil {
		t.Fatal(err)
	}
	crash.NoLeftovers(t, "applied", root)
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestATreeComesOntoAMachine(t *testing.T) {
	tree, other := trees(t)
	root := t.TempDir()
	want := []string{"new /etc/pki/CA/cacert.pem", "new " + keyFile, "new " + certFile,
		"new /etc/pki/libvirt/private/clientkey.pem", "new /etc/pki/libvirt/clientcert.pem"}
	if d := cmp.Diff(want, installed(t, tree, root, installation.Options{})); d != "" {
		t.Errorf("an empty machine (-want +got):\n%s", d)
	}
	if info, err := os.Stat(root + keyFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for i := range want {
		want[i] = strings.Replace(want[i], "new", "unchanged", 1)
	}
	if d := cmp.Diff(want, installed(t, tree, root, installation.Options{})); d != "" {
		t.Errorf("once more (-want +got):\n%s", d)
	}

	// A mode that is too open is set; a certificate that is another takes its place, and the old one is kept.
	if err := os.Chmod(root+keyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	for i, was := range []string{"the first", "the second"} {
		if err := os.WriteFile(root+certFile, []byte(was), 0o640); err != nil {
			t.Fatal(err)
		}
		backup := certFile + []string{".bak", ".bak.1"}[i]
		want[1], want[2] = []string{"mode ", "unchanged "}[i]+keyFile, "replaced "+certFile+" "+backup
		if d := cmp.Diff(want, installed(t, tree, root, installation.Options{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", was, d)
		}
		if info, err := os.Stat(root + backup); err != nil || info.Mode() != 0o644 || read(t, root+backup) != was {
			t.Errorf("%s: %v, %v", backup, info, err)
		}
	}
	if info, err := os.Stat(root + keyFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	// Another host's key is not replaced unasked, and nothing is changed.
	before := read(t, root+keyFile)
	var refused *installation.RefusedError
	_, err := installation.Compare(other, root, installation.Options{})
	if !errors.As(err, &refused) || !errors.Is(err, fs.ErrExist) || err.Error() != "installing: another private key is there: "+keyFile {
		t.Errorf("%v", err)
	}
	got := installed(t, other, root, installation.Options{Force: true})
	if want := []string{"unchanged /etc/pki/CA/cacert.pem", "replaced " + keyFile + " " + keyFile + ".bak", "replaced " + certFile + " " + certFile + ".bak.2"}; !cmp.Equal(want, got) {
		t.Errorf("forced: %q", got)
	}
	if info, err := os.Stat(root + keyFile + ".bak"); err != nil || info.Mode() != 0o600 || read(t, root+keyFile+".bak") != before {
		t.Errorf("the key's backup: %v, %v", info, err)
	}
}

func TestATreeIsRefusedThatIsOfNoUse(t *testing.T) {
	tree, other := trees(t, layout.Libvirt, layout.User)
	root := t.TempDir()
	if _, err := installation.Compare(os.DirFS(t.TempDir()), root, installation.Options{}); !errors.Is(err, installation.ErrNoTree) {
		t.Errorf("an empty tree: %v", err)
	}
	var home *installation.NoHomeError
	if _, err := installation.Compare(tree, root, installation.Options{}); !errors.As(err, &home) || home.Home != "/home/kvm1.example.com" {
		t.Errorf("a user who is not there: %v", err)
	}
	libvirt := installation.Options{Kinds: []layout.Kind{layout.Libvirt}}
	if plan, err := installation.Compare(tree, root, libvirt); err != nil || len(plan.Kinds) != 1 {
		t.Errorf("only libvirt's: %+v, %v", plan, err)
	}

	mixed := t.TempDir()
	for name, from := range map[string]fs.FS{"etc/pki/CA/cacert.pem": tree, certFile[1:]: tree, keyFile[1:]: other} {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(mixed, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mixed, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var misfit *installation.MisfitError
	if _, err := installation.Compare(os.DirFS(mixed), root, libvirt); !errors.As(err, &misfit) || len(misfit.Findings) != 1 || len(misfit.Hints()) != 1 {
		t.Errorf("another's key: %v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("changed: %v, %v", left, err)
	}
}

func TestAUsersLinksLeadNowhere(t *testing.T) {
	tree, _ := trees(t, layout.User)
	root := t.TempDir()
	home := filepath.Join(root, "home/kvm1.example.com")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../etc", filepath.Join(home, ".pki")); err != nil {
		t.Fatal(err)
	}
	plan, err := installation.Compare(tree, root, installation.Options{})
	if err == nil {
		err = plan.Apply()
	}
	if err == nil {
		t.Error("it was installed through the link")
	}
	if left, err := os.ReadDir(filepath.Join(root, "etc")); err != nil || len(left) > 0 {
		t.Errorf("changed: %v, %v", left, err)
	}
}
