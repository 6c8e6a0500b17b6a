package cluster

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// before and after are a cluster file and a change of it that has something of everything.
const before = `out = "c"
[authority]
dir = "c/authority"
[defaults]
base = "O=Acme"
layouts = ["libvirt", "qemu"]
[[hosts]]
name = "kvm1"
addresses = ["192.0.2.1"]
role = "peer"
[[clients]]
name = "admin"
`

const after = `out = "c"
[authority]
dir = "c/authority"
[defaults]
base = "O=Acme"
layouts = ["libvirt", "qemu"]
[[hosts]]
name = "kvm1"
addresses = ["192.0.2.11"]
role = "peer"
[[hosts]]
name = "kvm2"
role = "peer"
[[clients]]
name = "admin"
key = "ed25519"
layouts = ["libvirt", "user"]
`

// parse reads a cluster file that is in a directory.
func parse(t testing.TB, dir, text string) *Cluster {
	t.Helper()
	c, err := ParseFile("cluster.toml", dir, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// makeOf makes a file's cluster, with the authority unlocked.
func makeOf(t testing.TB, c *Cluster) *ca.Authority {
	t.Helper()
	cs := ca.Spec{Subject: c.Founding.Subject, Now: time.Now(), Policy: c.Policy}
	double, err := cs.Rehearse()
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Spec(cs.Now, cs.Subject).Plan(double)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Make(context.Background(), founded(cs), Options{}); err != nil {
		t.Fatal(err)
	}
	return open(t, c.Dir)
}

// compared compares a file with what there is.
func compared(t testing.TB, c *Cluster, a *ca.Authority, now time.Time, allow Allowance) Changes {
	t.Helper()
	ctx := context.Background()
	known, err := Know(ctx, a, layout.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	survey, err := c.Spec(now, known.CAs[0].Subject).Look(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	ch := c.Compare(&known, survey, now, allow)
	again := c.Compare(&known, survey, now, allow)
	if got, want := summary(again), summary(ch); !slices.Equal(got, want) {
		t.Errorf("the second answer is another:\n%s", cmp.Diff(want, got))
	}
	return ch
}

// summary gives the steps and notes in lines.
func summary(ch Changes) []string {
	var out []string
	for _, s := range ch.Steps {
		var why []string
		for _, w := range s.Why {
			why = append(why, string(w.Reason))
		}
		blocked := ""
		if s.Blocked {
			blocked = " blocked"
		}
		role := ""
		if s.Role != 0 {
			role = s.Role.String() + " "
		}
		file := ""
		if s.want < 0 && len(s.Files) > 0 {
			file = " " + filepath.Base(s.Files[0])
		}
		out = append(out, fmt.Sprintf("%s %s%s %s: %s%s%s", s.Action, role, s.Member, s.Layout, strings.Join(why, ","), file, blocked))
	}
	for _, n := range ch.Notes {
		out = append(out, fmt.Sprintf("note %s: %s", n.Member, n.Text))
	}
	return out
}

// applied applies a file, and checks that nothing is left to do.
func applied(t testing.TB, c *Cluster, a *ca.Authority, o Application) Applied {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	got, err := c.Apply(context.Background(), a, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Left) == 0 {
		if ch := compared(t, c, open(t, c.Dir), o.Now, Allowance{}); len(ch.Steps) > 0 {
			t.Errorf("still to be done: %q", summary(ch))
		}
	}
	return got
}

func TestNothingIsToBeDoneForWhatWasMade(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, before)
	a := makeOf(t, c)
	if got := summary(compared(t, c, a, time.Now(), Allowance{})); got != nil {
		t.Errorf("%q", got)
	}
	was := crash.Tree(t, dir)
	done := applied(t, c, a, Application{})
	if len(done.Done) > 0 || len(done.Left) > 0 {
		t.Errorf("%+v", done)
	}
	if diff := cmp.Diff(was, crash.Tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestEveryDifferenceIsAStepWithItsReason(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("as root, which reads everything")
	}
	base := t.TempDir()
	c := parse(t, base, before)
	a := makeOf(t, c)
	a.Close()
	other := parse(t, t.TempDir(), before)
	makeOf(t, other)
	now := time.Now()
	file := func(dir, name string) string { return filepath.Join(dir, "c", name) }
	const (
		serverCert = "kvm1/etc/pki/libvirt/servercert.pem"
		serverKey  = "kvm1/etc/pki/libvirt/private/serverkey.pem"
		clientCert = "admin/etc/pki/libvirt/clientcert.pem"
		clientKey  = "admin/etc/pki/libvirt/private/clientkey.pem"
		caCert     = "admin/etc/pki/CA/cacert.pem"
	)
	remove := func(names ...string) func(*testing.T, string, *ca.Authority) {
		return func(t *testing.T, dir string, _ *ca.Authority) {
			for _, n := range names {
				if err := os.RemoveAll(file(dir, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	copyOther := func(names ...string) func(*testing.T, string, *ca.Authority) {
		return func(t *testing.T, dir string, _ *ca.Authority) {
			for _, n := range names {
				text, err := os.ReadFile(filepath.Join(other.Dir, n))
				if err == nil {
					err = os.WriteFile(file(dir, n), text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// A list is published with crl publish, not by a plan.
	const unlisted = "note : 2 certificates are revoked and on no revocation list yet: daemons let them in"
	revoke := func(t *testing.T, _ string, a *ca.Authority) {
		entries, err := a.Inventory().ByHost(context.Background(), "admin")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := a.Inventory().Revoke(context.Background(), e.Key, now, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	edit := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for _, tt := range []struct {
		name  string
		do    func(*testing.T, string, *ca.Authority)
		edit  func(string) string
		at    time.Duration
		allow Allowance
		want  []string
		// stays says that applying it leaves something undone.
		stays bool
		// remains is what a plan says afterwards.
		remains []string
	}{
		{name: "a host without its tree", do: remove("kvm1"), want: []string{"issue server kvm1 libvirt: missing", "issue client kvm1 libvirt: missing", "issue peer kvm1 qemu: missing"}},
		{name: "an identity that is not there", do: remove(clientCert, clientKey), want: []string{"issue client admin libvirt: missing"}},
		{name: "a certificate that was removed is put beside its key", do: remove(serverCert), want: []string{"finish server kvm1 libvirt: interrupted"}},
		{name: "a key that is not there is for a request, or lost", do: remove(serverKey), want: []string{"replace server kvm1 libvirt: missing blocked"}, stays: true},
		{name: "with force it is lost", do: remove(serverKey), allow: Allowance{Force: true}, want: []string{"replace server kvm1 libvirt: missing"}},
		{name: "half of a peer's identity of QEMU", do: remove("kvm1/etc/pki/qemu/client-cert.pem"), want: []string{"replace peer kvm1 qemu: missing"}},
		{name: "a CA file that is not there", do: remove(caCert), want: []string{"write-ca admin libvirt: missing cacert.pem"}},
		{name: "an address more", edit: edit(`["192.0.2.1"]`, `["192.0.2.1", "::1"]`), want: []string{"replace server kvm1 libvirt: address-changed", "replace peer kvm1 qemu: address-changed"}},
		{name: "a name more", edit: edit("role", "names = [\"k\"]\nrole"), want: []string{"replace server kvm1 libvirt: name-changed", "replace peer kvm1 qemu: name-changed"}},
		{name: "another order of names is no change", edit: edit("role", "names = [\"kvm1\"]\nrole")},
		{name: "another subject", edit: edit("O=Acme", "O=Acme Ltd"), want: []string{"replace server kvm1 libvirt: name-changed", "replace client kvm1 libvirt: name-changed",
			"replace peer kvm1 qemu: name-changed", "replace client admin libvirt: name-changed", "replace client admin qemu: name-changed"}},
		{name: "another kind of key", edit: func(s string) string { return s + "key = \"ed25519\"\n" }, want: []string{"replace client admin libvirt: key-type-changed", "replace client admin qemu: key-type-changed"}},
		{name: "another role", edit: edit(`"peer"`, `"server"`), want: []string{"replace server kvm1 qemu: role-changed", "note kvm1: NOTE"}, stays: true},
		{name: "a layout less", edit: edit(`layouts = ["libvirt", "qemu"]`, `layouts = ["libvirt"]`),
			want: []string{"note admin: NOTE", "note kvm1: NOTE"}, stays: true},
		{name: "a layout more", edit: func(s string) string { return s + "layouts = [\"libvirt\", \"qemu\", \"user\"]\n" }, want: []string{"issue client admin user: missing"}},
		{name: "due", at: 300 * 24 * time.Hour, want: []string{"replace server kvm1 libvirt: due", "replace client kvm1 libvirt: due", "replace peer kvm1 qemu: due", "replace client admin libvirt: due", "replace client admin qemu: due"}},
		{name: "due by the file's own rule", edit: edit("base", "renew = \"400d\"\nbase"), at: 190 * 24 * time.Hour, want: []string{"replace server kvm1 libvirt: due", "replace client kvm1 libvirt: due", "replace peer kvm1 qemu: due", "replace client admin libvirt: due", "replace client admin qemu: due"}},
		{name: "revoked", do: revoke, want: []string{"replace client admin libvirt: revoked", "replace client admin qemu: revoked", unlisted},
			remains: []string{unlisted}},
		{name: "the key of another", do: copyOther(clientKey), want: []string{"replace client admin libvirt: key-wrong", "set-mode? "}},
		{name: "another CA's identity", do: copyOther(clientCert, clientKey), want: []string{"replace client admin libvirt: not-ours blocked", "MODES"}, stays: true},
		{name: "another CA's identity, with force", do: copyOther(clientCert, clientKey), allow: Allowance{Force: true}, want: []string{"replace client admin libvirt: not-ours", "MODES"}},
		{name: "another CA's place", do: copyOther(clientCert, clientKey, caCert), want: []string{"replace client admin libvirt: not-ours blocked", "MODES"}, stays: true},
		{name: "the CA file of another", do: copyOther(caCert), want: []string{"write-ca admin libvirt: ca-changed cacert.pem", "MODES"}},
		{name: "text in the place of a certificate", do: func(t *testing.T, dir string, _ *ca.Authority) {
			if err := os.WriteFile(file(dir, clientCert), []byte("hello"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"replace client admin libvirt: not-ours blocked"}, stays: true},
		{name: "a link in the place of a key", do: func(t *testing.T, dir string, _ *ca.Authority) {
			if err := errors.Join(os.Rename(file(dir, clientKey), file(dir, "k")), os.Symlink("../../../../../k", file(dir, clientKey))); err != nil {
				t.Fatal(err)
			}
		}, allow: Allowance{Force: true}, want: []string{"replace client admin libvirt: not-ours blocked"}, stays: true},
		{name: "a file in the place of a tree", do: func(t *testing.T, dir string, _ *ca.Authority) {
			if err := errors.Join(os.RemoveAll(file(dir, "admin")), os.WriteFile(file(dir, "admin"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"issue admin libvirt: not-ours admin blocked"}, stays: true},
		{name: "modes", do: func(t *testing.T, dir string, _ *ca.Authority) {
			for name, mode := range map[string]fs.FileMode{serverKey: 0o640, serverCert: 0o666, "kvm1/etc/pki/libvirt/private": 0o777, clientKey: 0o600,
				"kvm1/etc/pki/qemu/server-key.pem": 0o640, "admin/etc/pki/CA": 0o777} {
				if err := os.Chmod(file(dir, name), mode); err != nil {
					t.Fatal(err)
				}
			}
		}, want: []string{"set-mode kvm1 libvirt: mode-wrong private", "set-mode kvm1 libvirt: mode-wrong serverkey.pem", "set-mode kvm1 libvirt: mode-wrong servercert.pem",
			"set-mode admin libvirt: mode-wrong CA"}},
		{name: "other versions of libvirt", edit: edit("base", "libvirt = \"11.3\"\nbase"), want: []string{"set-policy  : compat-changed authority.json"}},
		{name: "who is not in the file", edit: edit("[[clients]]\nname = \"admin\"\n", ""), want: []string{"note admin: it is not in the file, and 2 certificates of it are in force; who is to stay belongs into the file"}, stays: true},
		{name: "a directory that belongs to nobody", do: func(t *testing.T, dir string, _ *ca.Authority) {
			if err := os.Mkdir(file(dir, "eve"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"note eve: NOTE"}, stays: true},
		{name: "the list of the authority", do: func(t *testing.T, _ string, a *ca.Authority) {
			if _, err := a.MakeList(context.Background(), now, 0); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"write-crl kvm1 libvirt: missing cacrl.pem", "write-crl kvm1 qemu: missing ca-crl.pem", "write-crl admin libvirt: missing cacrl.pem", "write-crl admin qemu: missing ca-crl.pem"}},
		{name: "what an interrupted run has not noted", do: func(t *testing.T, dir string, a *ca.Authority) {
			s := Spec{Dir: file(dir, "."), Kinds: []layout.Kind{layout.Libvirt}, Base: name(t, "O=Acme"), Now: now, Members: []Member{{Name: "bob", Role: certs.Client}}}
			p, err := s.Plan(a)
			if err != nil {
				t.Fatal(err)
			}
			stop := errors.New("stop")
			func() {
				defer func() { _ = recover() }()
				_, _ = p.Add(context.Background(), Options{Step: func(s string) {
					if s == "mark as published" {
						panic(stop)
					}
				}})
			}()
		}, edit: func(s string) string { return s + "[[clients]]\nname = \"bob\"\nlayouts = [\"libvirt\"]\n" }, want: []string{"record client bob libvirt: interrupted"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("cp", "-a", filepath.Join(base, "c"), dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			a := open(t, filepath.Join(dir, "c"))
			if tt.do != nil {
				tt.do(t, dir, a)
			}
			text := before
			if tt.edit != nil {
				if text = tt.edit(before); text == before {
					t.Fatal("nothing was edited")
				}
			}
			c := parse(t, dir, text)
			ch := compared(t, c, a, now.Add(tt.at), tt.allow)
			got := summary(ch)
			want := loose(tt.want, &got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			was := crash.Tree(t, filepath.Join(dir, "c"))
			done, err := c.Apply(context.Background(), a, Application{Now: now.Add(tt.at), Allow: tt.allow})
			if err != nil {
				t.Fatal(err)
			}
			if tt.stays {
				if ch.Blocked() > 0 && len(done.Left) == 0 {
					t.Errorf("nothing is said to be left")
				}
				if len(ch.Steps) == ch.Blocked() {
					if diff := cmp.Diff(was, crash.Tree(t, filepath.Join(dir, "c"))); diff != "" {
						t.Errorf("something was done:\n%s", diff)
					}
				}
				return
			}
			if rest := summary(compared(t, c, open(t, c.Dir), now.Add(tt.at), Allowance{})); !slices.Equal(rest, tt.remains) {
				t.Errorf("after it was applied: %q", rest)
			}
			unexposed(t, filepath.Join(dir, "c"))
			if !slices.Contains(tt.want, "MODES") { // another CA's files are kept
				crash.Accounted(t, filepath.Join(dir, "c"), a)
			}
		})
	}
}

// loose leaves the texts of notes out of a comparison, and what copying a file does to its mode.
func loose(want []string, got *[]string) []string {
	modes := false
	want = slices.Clone(want)
	for i := range *got {
		for _, w := range want {
			if prefix, ok := strings.CutSuffix(w, "NOTE"); ok && strings.HasPrefix((*got)[i], prefix) {
				(*got)[i] = w
			}
		}
	}
	want = slices.DeleteFunc(want, func(w string) bool {
		m := w == "MODES" || strings.HasPrefix(w, "set-mode?")
		modes = modes || m
		return m
	})
	if modes {
		*got = slices.DeleteFunc(*got, func(g string) bool { return strings.HasPrefix(g, "set-mode") })
	}
	var once []string
	for _, g := range *got {
		if len(once) == 0 || once[len(once)-1] != g || !strings.HasSuffix(g, "NOTE") {
			once = append(once, g)
		}
	}
	*got = once
	return want
}

// unexposed checks that no key below dir is open to others, but the system's client keys.
func unexposed(t testing.TB, dir string) {
	t.Helper()
	crash.Walk(t, dir, func(path string, text []byte, info fs.FileInfo) {
		if strings.Contains(string(text), "PRIVATE KEY") && info.Mode().Perm()&0o077 != 0 && filepath.Base(path) != "clientkey.pem" && !strings.Contains(path, "/qemu/") {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
	})
}

// runApply is the test program "apply": it applies cluster.toml of a directory.
func runApply(dir string, step func(string)) error {
	ctx := context.Background()
	text, err := os.ReadFile(filepath.Join(dir, "cluster.toml"))
	if err != nil {
		return err
	}
	c, err := ParseFile("cluster.toml", dir, text)
	if err != nil {
		return err
	}
	a, err := ca.Open(ctx, c.Founding.Dir)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Unlock(nil); err != nil {
		return err
	}
	done, err := c.Apply(ctx, a, Application{Now: time.Now(), Options: Options{Step: step}})
	if err == nil && len(done.Done) == 0 {
		return errors.New("nothing to do")
	}
	return err
}

// changed makes a cluster that differs from its file in many ways, to be copied.
func changed(t *testing.T) string {
	t.Helper()
	dir := crash.QuickDir(t)
	c := parse(t, dir, before)
	a := makeOf(t, c)
	ctx := context.Background()
	entries, err := a.Inventory().ByHost(ctx, "admin")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Inventory().Revoke(ctx, entries[0].Key, time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.MakeList(ctx, time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	a.Close()
	for name, mode := range map[string]fs.FileMode{"kvm1/etc/pki/libvirt/private/serverkey.pem": 0o640, "kvm1/etc/pki/qemu/ca-cert.pem": 0o666} {
		if err := os.Chmod(filepath.Join(c.Dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(filepath.Join(c.Dir, "admin/etc/pki/CA/cacert.pem")), os.WriteFile(filepath.Join(dir, "cluster.toml"), []byte(after), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cloneTree copies a directory with owners and modes.
func cloneTree(t *testing.T, from string) string {
	t.Helper()
	to := crash.QuickDir(t)
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

func TestApplyKilledAtEveryStep(t *testing.T) {
	base := changed(t)
	t.Parallel()
	stride := 1
	if testing.Short() {
		stride = 7
	}
	reached := 0
	for n := 1; ; n += stride {
		when := fmt.Sprintf("apply killed before step %d", n)
		dir := cloneTree(t, base)
		top := filepath.Join(dir, "c")
		if !crash.Killed(t, n, "apply", dir) {
			break
		}
		reached = n
		crash.Closed(t, when, dir, "clientkey.pem", "serverkey.pem") // the server's was open before
		a := open(t, top)
		crash.Accounted(t, top, a)
		a.Close()
		out, err := crash.Self("apply", dir).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "nothing to do") {
			t.Fatalf("%s: the second run: %v: %s", when, err, out)
		}
		settled(t, when, dir)
		if t.Failed() {
			return
		}
		os.RemoveAll(dir)
	}
	if reached < 60 {
		t.Errorf("only %d steps", reached)
	}
	t.Logf("%d steps", reached)
}

// settled checks that a cluster is as its file says, and that nothing is left over of how it came so.
func settled(t *testing.T, when, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cluster.toml"))
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, dir, string(text))
	a := open(t, c.Dir)
	defer a.Close()
	if got := compared(t, c, a, time.Now(), Allowance{}); len(got.Steps) > 0 {
		t.Errorf("%s: still to be done: %q", when, summary(got))
	}
	crash.NoLeftovers(t, when, c.Dir)
	unexposed(t, c.Dir)
	crash.Accounted(t, c.Dir, a)
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	serials, current := map[string]bool{}, map[string]int{}
	lying := map[string]bool{}
	crash.Walk(t, c.Dir, func(path string, text []byte, _ fs.FileInfo) {
		if !strings.Contains(path, ".old-") {
			lying[string(text)] = true
		}
	})
	for _, e := range entries {
		if serials[e.Serial] {
			t.Errorf("%s: the serial number %s is twice in the inventory", when, e.Serial)
		}
		serials[e.Serial] = true
		if e.State == inventory.Issued {
			t.Errorf("%s: %s of %s is neither published nor abandoned", when, e.Serial, e.Host)
		}
		if e.InForce() {
			if !lying[string(e.PEM)] && (e.Host != "admin" || e.Layout != "qemu") {
				t.Errorf("%s: %s of %s (%s) is in force and lies nowhere", when, e.Serial, e.Host, e.Layout)
			}
			current[e.Host+" "+e.Role.String()+" "+e.Layout]++
		}
	}
	for id, n := range current {
		if n > 1 {
			t.Errorf("%s: %d certificates of %s are in force", when, n, id)
		}
	}
}

func TestTwoAppliesAtOnceDoEverythingOnce(t *testing.T) {
	dir := changed(t)
	var group sync.WaitGroup
	outs := make([]string, 3)
	for i := range outs {
		group.Go(func() {
			out, _ := crash.Self("apply", dir).CombinedOutput()
			outs[i] = string(out)
		})
	}
	group.Wait()
	nothing := 0
	for _, out := range outs {
		if strings.Contains(out, "nothing to do") {
			nothing++
		}
	}
	if nothing != 2 {
		t.Errorf("%d of 3 had nothing to do: %q", nothing, outs)
	}
	settled(t, "after three at once", dir)
}

func TestAnApplyWaitsForTheLockAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, before)
	a := makeOf(t, c)
	lock, err := durable.LockDir(context.Background(), a.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Apply(ctx, a, Application{Now: time.Now()}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("%v", err)
	}
}

func TestWhatWasNotAgreedToIsNotDone(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, before)
	a := makeOf(t, c)
	agreed := compared(t, c, a, time.Now(), Allowance{})
	if err := os.RemoveAll(filepath.Join(c.Dir, "admin")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Apply(context.Background(), a, Application{Now: time.Now(), Agreed: &agreed})
	var stale *StaleError
	if !errors.As(err, &stale) || stale.Error() != `the plan has changed since it was shown: issue of "admin" is new` {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(c.Dir, "admin")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was done: %v", err)
	}
}

func TestAClockThatWasSetBackIsSaid(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, before)
	a := makeOf(t, c)
	was := crash.Tree(t, dir)
	_, err := c.Apply(context.Background(), a, Application{Now: time.Now().Add(-48 * time.Hour)})
	var back *ClockError
	if !errors.As(err, &back) || !strings.Contains(err.Error(), "by this machine's clock, but the inventory has a certificate of") {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(was, crash.Tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestForeignCertificatesAreAdoptedAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, dir, before)
	a := makeOf(t, c)
	// One of this CA that the inventory does not know, and one of another CA with its CA file.
	other := parse(t, t.TempDir(), before)
	b := makeOf(t, other)
	for _, name := range []string{"admin/etc/pki/libvirt/clientcert.pem", "admin/etc/pki/libvirt/private/clientkey.pem", "admin/etc/pki/CA/cacert.pem"} {
		text, err := os.ReadFile(filepath.Join(other.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(c.Dir, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(c.Dir, "kvm1/etc/pki/libvirt")
	key, err := certs.GenerateKey(certs.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	// Issued with a throw-away inventory.
	memory, err := inventory.Memory(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	twin, err := ca.New(a.CertDER(), caKey(t, c.Founding.Dir), ca.Policy{}, memory)
	if err != nil {
		t.Fatal(err)
	}
	spec := c.Spec(time.Now(), c.Founding.Subject)
	o, err := spec.order(spec.wants()[0])
	if err != nil {
		t.Fatal(err)
	}
	o.Public = key.Public()
	p, err := twin.Prepare(time.Now(), o)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := twin.Issue(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := certs.MarshalKey(key, nil)
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(own, "servercert.pem"), issued.PEM(), 0o644), os.WriteFile(filepath.Join(own, "private/serverkey.pem"), text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	ch := compared(t, c, a, time.Now(), Allowance{})
	want := []string{"replace server kvm1 libvirt: not-ours blocked", "replace client admin libvirt: not-ours blocked"}
	if diff := cmp.Diff(want, summary(ch)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	was := contents(t, c.Dir)
	done := applied(t, c, a, Application{Allow: Allowance{Adopt: true}})
	if len(done.Done) != 2 || len(done.Left) != 0 {
		t.Errorf("%+v", done)
	}
	now := contents(t, c.Dir)
	delete(was, filepath.Join(c.Founding.Dir, "inventory.db"))
	delete(now, filepath.Join(c.Founding.Dir, "inventory.db"))
	if diff := cmp.Diff(was, now); diff != "" {
		t.Errorf("files have changed:\n%s", diff)
	}
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		switch {
		case string(e.PEM) == string(issued.PEM()):
			found++
			if e.State != inventory.Published || e.Host != "kvm1" || e.Layout != "libvirt" || e.Role != certs.Server {
				t.Errorf("%+v", e)
			}
		case e.State == inventory.Foreign:
			found++
			if e.Authority != b.ID() || e.CommonName != "admin" {
				t.Errorf("%+v", e)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d were adopted", found)
	}
	// It can be revoked like any other.
	if err := a.Inventory().Revoke(context.Background(), issued.Entry.Key, time.Now(), 4); err != nil {
		t.Error(err)
	}
}

// caKey reads an authority's key.
func caKey(t testing.TB, dir string) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "private/cakey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := certs.ParseKey(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// contents gives all files below a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	crash.Walk(t, dir, func(path string, text []byte, info fs.FileInfo) {
		out[path] = info.Mode().String() + " " + string(text)
	})
	return out
}

func TestCertificatesThatAnOlderLibvirtRefusesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	strict := strings.Replace(before, "dir = \"c/authority\"", "dir = \"c/authority\"\nstrict_key_usage = true", 1)
	c := parse(t, dir, strings.Replace(strict, "base", "libvirt = \"12.8\"\nbase", 1))
	a := makeOf(t, c)
	if got := summary(compared(t, c, a, time.Now(), Allowance{})); got != nil {
		t.Errorf("%q", got)
	}
	older := parse(t, dir, strings.Replace(before, "base", "libvirt = \"9.0\"\nbase", 1))
	ch := compared(t, older, a, time.Now(), Allowance{})
	want := []string{"set-policy  : compat-changed authority.json"}
	for _, id := range []string{"server kvm1 libvirt", "client kvm1 libvirt", "peer kvm1 qemu", "client admin libvirt", "client admin qemu"} {
		want = append(want, "replace "+id+": compat-changed")
	}
	if diff := cmp.Diff(want, summary(ch)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if text := ch.Steps[1].Why[0].Text; !strings.Contains(text, "libvirt 9.0.0 refuses it: ") {
		t.Error(text)
	}
	applied(t, older, a, Application{})
	a.Close()
	a = open(t, c.Dir)
	if got := a.Policy().Libvirt[0].String(); got != "9.0.0" {
		t.Errorf("the policy kept is for %s", got)
	}
	if got := summary(compared(t, older, a, time.Now(), Allowance{})); got != nil {
		t.Errorf("opened again: %q", got)
	}
}
