package cluster

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// onDisk copies a changed cluster to a disk.
func onDisk(t *testing.T, d disk, from string) string {
	t.Helper()
	to := filepath.Join(d.outside, "work")
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

// lying gives what lies in a cluster's trees, the authority's files and leftovers aside.
func lying(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for path, text := range contents(t, dir) {
		if rel, _ := filepath.Rel(dir, path); !strings.HasPrefix(rel, "c/authority/") {
			out[rel] = text
		}
	}
	return out
}

func TestApplyOnAFullDiskSaysSoAndGoesOnAfterwards(t *testing.T) {
	d := newDisk(t)
	base := changed(t)
	places := map[string]bool{}
	worked := false
	for free := 0; free < 600 && !worked; free += 24 { // more and more is free: each step that writes meets the full disk
		work := onDisk(t, d, base)
		before := lying(t, work)
		used := 0
		crash.Walk(t, work, func(_ string, _ []byte, info fs.FileInfo) { used += int(info.Size()+4095) / 4096 * 4 })
		d.fill(t, free+used)
		r := d.program(t, "apply", on+"/work")
		if worked = r.Exit == 0; !worked {
			message, hint, _ := strings.Cut(r.Stderr, "\n")
			if !strings.Contains(message, "no space left on device") && !strings.Contains(message, "no space left for the inventory") ||
				!strings.Contains(hint, "df -h ") {
				t.Errorf("%d KiB free: %v", free, r)
			}
			places[message] = true
			// Nothing that was there is lost: it is there, or beside its place.
			after := lying(t, work)
			texts := map[string]bool{}
			for _, text := range after {
				_, text, _ = strings.Cut(text, " ")
				texts[text] = true
			}
			for name, text := range before {
				if _, text, _ := strings.Cut(text, " "); !texts[text] {
					t.Errorf("%d KiB free: %s is lost", free, name)
				}
			}
			if err := os.Remove(filepath.Join(d.outside, "ballast")); err != nil {
				t.Fatal(err)
			}
			if r := d.program(t, "apply", on+"/work"); r.Exit != 0 {
				t.Errorf("%d KiB free, then with room: %v", free, r)
			}
		}
		// SQLite does not find its way through /proc: it is looked at on a copy.
		settled(t, "after a full disk", cloneTree(t, work))
		_ = os.Remove(filepath.Join(d.outside, "ballast"))
		if err := os.RemoveAll(work); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	if !worked || len(places) < 2 {
		t.Errorf("worked: %v; places where it was full: %v", worked, places)
	}
}

func TestApplyOnAReadOnlyDiskChangesNothing(t *testing.T) {
	d := newDisk(t)
	work := onDisk(t, d, changed(t))
	d.remount(t, "ro")
	before := contents(t, work)
	r := d.program(t, "apply", on+"/work")
	if r.Exit != 1 || !strings.Contains(r.Stderr, "read-only file system") && !strings.Contains(r.Stderr, "the inventory cannot be written") {
		t.Errorf("%v", r)
	}
	if diff := cmp.Diff(before, contents(t, work)); diff != "" {
		t.Error(diff)
	}
	d.remount(t, "rw")
	if r := d.program(t, "apply", on+"/work"); r.Exit != 0 {
		t.Error(r)
	}
	settled(t, "after a read-only disk", cloneTree(t, work))
}

func TestApplyWithoutPermissionSaysWhereAndChangesNothing(t *testing.T) {
	peer.NeedRoot(t)
	peer.Need(t, "setpriv")
	top := peer.Dir(t)
	exe := filepath.Join(top, "program")
	binary, err := crash.Program()
	if err != nil {
		t.Fatal(err)
	}
	base := changed(t)
	if out, err := exec.Command("sh", "-c", "cp "+binary+" "+exe+" && cp -a "+base+" "+top+"/work && chmod 0755 "+exe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	work := filepath.Join(top, "work")
	peer.Own(t, work, "nobody") // the authority's and the trees are nobody's, but one is root's
	if err := errors.Join(filepath.WalkDir(work, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, 65534, 65534)
	}), os.Chown(filepath.Join(work, "c/kvm1/etc/pki/libvirt"), 0, 0)); err != nil {
		t.Fatal(err)
	}
	run := func() peer.Result {
		return peer.Place{User: "nobody", Env: []string{"VIRT_PKI_TEST_PROGRAM=apply"}}.Run(t, exe, work)
	}
	r := run()
	if r.Exit != 1 || !strings.Contains(r.Stderr, "permission denied") || !strings.Contains(r.Stderr, "hint: you may not write in") {
		t.Errorf("%v", r)
	}
	if err := os.Chown(filepath.Join(work, "c/kvm1/etc/pki/libvirt"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if r := run(); r.Exit != 0 {
		t.Errorf("%v", r)
	}
	settled(t, "after a missing permission", work)
}

func TestWhatWasAppliedIsAcceptedByRealPrograms(t *testing.T) {
	peer.NeedNamespaces(t)
	top := peer.Dir(t)
	text := `out = "c"
[authority]
dir = "c/authority"
[[hosts]]
name = "localhost"
role = "peer"
`
	c := parse(t, top, text)
	a := makeOf(t, c)
	// The address is new, and so is the CA's list, which revokes what is replaced; a client is added.
	text += "addresses = [\"127.0.0.1\", \"::1\"]\nkey = \"rsa2048\"\nlayouts = [\"libvirt\", \"qemu\"]\n[[clients]]\nname = \"admin\"\n"
	c = parse(t, top, text)
	entries, err := a.Inventory().ByHost(t.Context(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := a.Inventory().Revoke(t.Context(), e.Key, e.Created, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.MakeList(t.Context(), entries[0].Created, 0); err != nil {
		t.Fatal(err)
	}
	done := applied(t, c, a, Application{Options: Options{WriteOptions: nobodysFiles}})
	if done.Proof.Handshakes < 2 {
		t.Errorf("%+v", done.Proof)
	}
	system(t, "applied", c.Dir+"/localhost", peer.Roots(t))
	// The client that was added connects to the host that was changed.
	flat := peer.Dir(t)
	for from, to := range map[string]string{"localhost/etc/pki/CA/cacert.pem": "cacert.pem", "localhost/etc/pki/CA/cacrl.pem": "cacrl.pem",
		"localhost/etc/pki/libvirt/servercert.pem": "servercert.pem", "localhost/etc/pki/libvirt/private/serverkey.pem": "serverkey.pem",
		"admin/etc/pki/libvirt/clientcert.pem": "clientcert.pem", "admin/etc/pki/libvirt/private/clientkey.pem": "clientkey.pem"} {
		text, err := os.ReadFile(filepath.Join(c.Dir, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(flat, to), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	connects(t, "added", peer.Options{Dir: flat}, peer.Place{}, "pkipath="+flat)
}
