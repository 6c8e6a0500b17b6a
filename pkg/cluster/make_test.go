package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

var authorityTree = []string{"0700 authority/", "0644 authority/authority.json", "0644 authority/cacert.pem",
	"0600 authority/inventory.db", "0700 authority/private/", "0600 authority/private/cakey.pem"}

func TestMakeMakesExactlyThis(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "a", "flat")
	made := makeAll(t, flatSpec(t, dir), caSpec(t), Options{})
	want := append(append([]string{"0700 ./"}, authorityTree...), "0600 cacert.pem", "0600 clientcert.pem", "0600 clientkey.pem",
		"0600 servercert.pem", "0600 serverkey.pem")
	if d := cmp.Diff(want, crash.Tree(t, dir)); d != "" {
		t.Errorf("flat (-want +got):\n%s", d)
	}
	if len(made.Identities) != 2 || made.Proof.Pairs != 1 || made.Proof.Handshakes != 1 || len(made.Proof.Versions) != 3 {
		t.Errorf("%+v", made)
	}
	a := open(t, dir)
	for _, id := range made.Identities {
		if e, err := a.Inventory().BySerial(context.Background(), id.Serial); err != nil || len(e) != 1 || e[0].State != inventory.Published {
			t.Errorf("%s in the inventory: %v, %v", id.Serial, e, err)
		}
	}

	dir = filepath.Join(above, "trees")
	s := treeSpec(t, dir, layout.Libvirt, layout.User, layout.QEMU)
	s.QEMUGroup = "kvm"
	made = makeAll(t, s, caSpec(t), Options{})
	side := func(name, side, keyMode string) []string {
		return []string{"0644 " + name + "/etc/pki/libvirt/" + side + "cert.pem", keyMode + " " + name + "/etc/pki/libvirt/private/" + side + "key.pem",
			"0600 " + name + "/home/" + name + "/.pki/libvirt/" + side + "cert.pem", "0600 " + name + "/home/" + name + "/.pki/libvirt/" + side + "key.pem",
			"0644 " + name + "/etc/pki/qemu/" + side + "-cert.pem", "0600 " + name + "/etc/pki/qemu/" + side + "-key.pem"}
	}
	common := func(name string) []string {
		var out []string
		for _, l := range []string{"0755 /", "0755 /etc/", "0755 /etc/pki/", "0755 /etc/pki/CA/", "0644 /etc/pki/CA/cacert.pem", "0755 /etc/pki/libvirt/",
			"0755 /etc/pki/libvirt/private/", "0755 /etc/pki/qemu/", "0644 /etc/pki/qemu/ca-cert.pem", "0755 /home/", "0755 /home/" + name + "/",
			"0700 /home/" + name + "/.pki/", "0700 /home/" + name + "/.pki/libvirt/", "0600 /home/" + name + "/.pki/libvirt/cacert.pem"} {
			out = append(out, l[:5]+name+l[5:])
		}
		return out
	}
	want = append([]string{"0700 ./"}, authorityTree...)
	for _, name := range []string{"kvm1.example.com", "kvm2.example.com", "admin"} {
		want = append(want, common(name)...)
	}
	want = append(append(want, side("kvm1.example.com", "server", "0600")...), side("kvm1.example.com", "client", "0644")...)
	want = append(append(want, side("kvm2.example.com", "server", "0600")...), side("admin", "client", "0644")...)
	sort.Slice(want, func(i, j int) bool { return want[i][5:] < want[j][5:] })
	if d := cmp.Diff(want, crash.Tree(t, dir)); d != "" {
		t.Errorf("trees (-want +got):\n%s", d)
	}
	// Without the right to give files away the keys for QEMU stay closed, and it is said of which.
	closed := []string{"kvm1.example.com/etc/pki/qemu/server-key.pem", "kvm1.example.com/etc/pki/qemu/client-key.pem",
		"kvm2.example.com/etc/pki/qemu/server-key.pem", "admin/etc/pki/qemu/client-key.pem"}
	for i := range closed {
		closed[i] = filepath.Join(dir, closed[i])
	}
	if d := cmp.Diff(closed, made.Closed); d != "" {
		t.Errorf("closed (-want +got):\n%s", d)
	}
	// The CA's in the authority and in three layouts of three trees, and four identities' in three layouts.
	if n := crash.Accounted(t, dir, open(t, dir)); n != 1+3*3+3*4 {
		t.Errorf("%d certificates", n)
	}
}

func TestOwnersAndModesAsRoot(t *testing.T) {
	peer.NeedRoot(t)
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	const nobody, kvm = 65534, 4242
	if u.Uid != "65534" {
		t.Skip("nobody is another one here")
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	s := treeSpec(t, dir, layout.Libvirt, layout.User, layout.QEMU)
	s.Members, s.QEMUGroup = s.Members[:1], "kvm"
	made := makeAll(t, s, caSpec(t), Options{WriteOptions: layout.WriteOptions{SetOwners: true, UID: nobody, GID: nobody,
		LookupGroup: func(string) (int, error) { return kvm, nil }}})
	if len(made.Closed) > 0 {
		t.Errorf("closed: %q", made.Closed)
	}
	const host = "kvm1.example.com"
	for file, want := range map[string]struct {
		mode     fs.FileMode
		uid, gid uint32
	}{
		"etc/pki/CA/cacert.pem":                        {0o644, 0, 0},
		"etc/pki/libvirt/private":                      {0o755, 0, 0},
		"etc/pki/libvirt/servercert.pem":               {0o644, 0, 0},
		"etc/pki/libvirt/private/serverkey.pem":        {0o600, 0, 0},
		"etc/pki/libvirt/private/clientkey.pem":        {0o644, 0, 0},
		"etc/pki/qemu":                                 {0o755, 0, 0},
		"etc/pki/qemu/server-key.pem":                  {0o640, 0, kvm},
		"etc/pki/qemu/client-key.pem":                  {0o640, 0, kvm},
		"etc/pki/qemu/server-cert.pem":                 {0o644, 0, 0},
		"home/" + host + "/.pki":                       {0o700, nobody, nobody},
		"home/" + host + "/.pki/libvirt":               {0o700, nobody, nobody},
		"home/" + host + "/.pki/libvirt/cacert.pem":    {0o600, nobody, nobody},
		"home/" + host + "/.pki/libvirt/clientkey.pem": {0o600, nobody, nobody},
	} {
		info, err := os.Lstat(filepath.Join(dir, host, file))
		if err != nil {
			t.Error(err)
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%s: %04o %d:%d, want %04o %d:%d", file, info.Mode().Perm(), st.Uid, st.Gid, want.mode, want.uid, want.gid)
		}
	}
}

func TestMakeTakesThePlaceOfNothing(t *testing.T) {
	above := t.TempDir()
	at := func(name string) string { return filepath.Join(above, name) }
	for _, d := range []string{"full", "cluster/authority", "target", "empty"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"full/x", "file"} {
		if err := os.WriteFile(at(f), []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range [][2]string{{"target", "link"}, {"nowhere", "dangling"}} {
		if err := os.Symlink(at(l[0]), at(l[1])); err != nil {
			t.Fatal(err)
		}
	}
	before := crash.Tree(t, above)
	for _, tt := range []struct {
		dir, want, hint string
	}{
		{"full", `making "DIR/full": it is there already and not empty`, "choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"cluster", `making "DIR/cluster": it is there already and not empty`, "to add to this cluster: virt-pki issue server NAME --authority DIR/cluster/authority --out DIR"},
		{"file", `making "DIR/file": there is a file of this name`, "choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"link", `making "DIR/link": it is a symbolic link`, "choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"dangling", `making "DIR/dangling": it is a symbolic link`, "choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"file/below", `making "DIR/file/below": open "DIR/file/below": not a directory`, `a part of "DIR/file/below" is a file where a directory is due`},
		{"file/far/below", `making "DIR/file/far/below": open "DIR/file/far/below": not a directory`, `a part of "DIR/file/far/below" is a file where a directory is due`},
	} {
		_, err := plan(t, flatSpec(t, at(tt.dir)), caSpec(t)).Make(context.Background(), founded(caSpec(t)), Options{})
		if err == nil {
			t.Errorf("%s: no error", tt.dir)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), above, "DIR"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.dir, got, tt.want)
		}
		if got := strings.ReplaceAll(strings.Join(hint.Of(err), "; "), above, "DIR"); got != tt.hint {
			t.Errorf("%s: hint %s, want %s", tt.dir, got, tt.hint)
		}
	}
	if d := cmp.Diff(before, crash.Tree(t, above)); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	// An empty directory is as good as none.
	makeAll(t, flatSpec(t, at("empty")), caSpec(t), Options{})
}

func TestWhenTheCAFailsNothingIsLeft(t *testing.T) {
	above := t.TempDir()
	boom := errors.New("boom")
	dir := filepath.Join(above, "new", "deeper", "cluster")
	_, err := plan(t, flatSpec(t, dir), caSpec(t)).Make(context.Background(),
		func(_ context.Context, dir string) (*ca.Authority, error) {
			return nil, &fs.PathError{Op: "write", Path: dir, Err: boom}
		}, Options{})
	if !errors.Is(err, boom) || err.Error() != "write "+dir+"/authority: boom" {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestMakeEndsWithItsContext(t *testing.T) {
	above := t.TempDir()
	for _, stop := range []string{"issue", "prove", "mark as published"} {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := plan(t, treeSpec(t, filepath.Join(above, "cluster")), caSpec(t)).Make(ctx, founded(caSpec(t)),
			Options{Step: func(step string) {
				if step == stop {
					cancel()
				}
			}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %q: %v", stop, err)
		}
		if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
			t.Errorf("stopped at %q, left: %v, %v", stop, left, err)
		}
	}
}

func TestTwoMakesAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	errs := make(chan error)
	for range 3 {
		p := plan(t, flatSpec(t, dir), caSpec(t))
		go func() {
			_, err := p.Make(context.Background(), founded(caSpec(t)), Options{})
			errs <- err
		}()
	}
	good := 0
	for range 3 {
		var e *ExistsError
		switch err := <-errs; {
		case err == nil:
			good++
		case !errors.As(err, &e) || !e.Authority:
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d made it", good)
	}
	if n := crash.Accounted(t, dir, open(t, dir)); n != 4 {
		t.Errorf("%d certificates", n)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestKeyTypesAreTheSpecs(t *testing.T) {
	s := flatSpec(t, filepath.Join(t.TempDir(), "x"))
	s.Key = certs.Ed25519
	cs := caSpec(t)
	cs.Key = certs.ECDSAP384
	for _, id := range makeAll(t, s, cs, Options{}).Identities {
		if id.Key != certs.Ed25519 {
			t.Errorf("%s", id.Key)
		}
	}
	if k, _ := certs.AlgorithmOf(open(t, s.Dir).PublicKey()); k != certs.ECDSAP384 {
		t.Errorf("CA: %s", k)
	}
}
