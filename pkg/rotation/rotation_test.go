package rotation_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/testcluster"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/rotation"
)

// TestMain runs the test binary as the program of the tests when they ask for it.
func TestMain(m *testing.M) {
	crash.Main(m, "github.com/virt-pki/virt-pki/pkg/rotation", func(_ string, args []string, step func(string)) error { return runRotate(args[0], args[1], step) })
}

// flat is a server and a client in one flat directory.
func flat(t testing.TB, dir string) cluster.Spec {
	t.Helper()
	s := testcluster.Spec(t, dir, layout.PkiPath)
	s.Members = s.Members[1:]
	return s
}

// successor is a new CA of another name, or with "" of the same.
func successor(t testing.TB, subject string) ca.Successor {
	t.Helper()
	s := ca.Successor{Now: time.Now()}
	if subject != "" {
		s.Subject = testcluster.Name(t, subject)
	}
	return s
}

// rotate does one stage that has to be complete.
func rotate(t testing.TB, a *ca.Authority, s rotation.Request) rotation.Result {
	t.Helper()
	s.Now = time.Now()
	r, err := rotation.Advance(context.Background(), a, s)
	if err != nil || !r.Done {
		t.Fatalf("%s: done %v, lacks %v, %v", r.Stage, r.Done, r.Lacks, err)
	}
	return r
}

// trusted gives the CAs of every CA file below dir, by its name.
func trusted(t testing.TB, dir string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, s := range testcluster.Spots(t, dir) {
		file := s.Shown(s.Paths(certs.Client).CA)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := certs.ImportPEMList(text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			subject, _ := c.Subject.Text()
			id, err := certs.KeyID(c.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			out[file] = append(out[file], fmt.Sprintf("%s %x", subject, id[:2]))
		}
	}
	return out
}

func TestRotateReplacesTheCAInFourStages(t *testing.T) {
	ctx := context.Background()
	for _, subject := range []string{"", "O=Acme,CN=Acme CA 2"} {
		t.Run("subject "+subject, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "cluster")
			a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt, layout.QEMU))
			oldID, oldCA := a.ID(), a.CertDER()
			spots := testcluster.Spots(t, dir)
			before := crash.Pairs(t, "before", testcluster.Spots(t, dir))

			r := rotate(t, a, rotation.Request{Spots: spots, Successor: successor(t, subject)})
			if r.Stage != ca.TrustBoth || len(r.Changed) != 6 || r.Proof.Handshakes == 0 || len(r.Broken) != 0 {
				t.Errorf("%+v", r)
			}
			for file, cas := range trusted(t, dir) {
				if len(cas) != 2 {
					t.Errorf("%s trusts %v", file, cas)
				}
			}
			if a.ID() != oldID {
				t.Error("the new CA issues already")
			}
			// What is issued now has both CAs in its file, and is the old one's.
			if _, err := testcluster.Add(t, cluster.Spec{Dir: filepath.Join(dir, "bob"), Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []cluster.Member{{Name: "bob", Role: certs.Client}}}, a); err != nil {
				t.Fatal(err)
			}
			spots = testcluster.Spots(t, dir)
			var skipped *ca.StageError
			if _, err := rotation.Advance(ctx, a, rotation.Request{Spots: spots, Stage: ca.SwitchOver, Now: time.Now()}); !errors.As(err, &skipped) || skipped.Next != ca.IssueNew {
				t.Errorf("a stage is skipped: %v", err)
			}

			a = testcluster.Open(t, dir) // as another process would
			r = rotate(t, a, rotation.Request{Spots: spots, Stage: ca.IssueNew})
			if r.Proof.Handshakes == 0 || a.ID() == oldID {
				t.Errorf("%+v, %s", r, a.ID())
			}
			if b := testcluster.Open(t, dir); b.ID() != a.ID() || b.Fellow().ID() != oldID || !b.Fellow().Unlocked() {
				t.Error("another process sees another state")
			}
			if got := crash.States(t, a); got != "8 published, 2 abandoned" {
				t.Errorf("inventory: %s", got)
			}
			for file, cert := range crash.Pairs(t, "issuing", testcluster.Spots(t, dir)) {
				if old := before[file]; old != nil && !bytes.Equal(old.Raw, cert.Raw) {
					t.Errorf("%s changed", file)
				}
			}

			r = rotate(t, a, rotation.Request{Spots: spots})
			if len(r.Renewed) != 8 || r.Proof.Handshakes == 0 {
				t.Errorf("%+v", r)
			}
			for file, cert := range crash.Pairs(t, "switched", testcluster.Spots(t, dir)) {
				if key, err := a.KeyOf(cert); err != nil || key.Authority != a.ID() {
					t.Errorf("%s: %v %v", file, key, err)
				}
			}

			r = rotate(t, a, rotation.Request{Spots: spots})
			if r.Stage != ca.PruneOld || r.Retired == "" {
				t.Errorf("%+v", r)
			}
			for file, cas := range trusted(t, dir) {
				if len(cas) != 1 || !strings.HasSuffix(cas[0], " "+a.ID()[:4]) {
					t.Errorf("%s trusts %v, not %s", file, cas, a.ID())
				}
			}
			b := testcluster.Open(t, dir)
			if _, ok := b.Rotation(); ok || b.ID() != a.ID() || b.Fellow() != nil || !b.Unlocked() {
				t.Error("the rotation is not over")
			}
			text, err := os.ReadFile(filepath.Join(r.Retired, "cacert.pem"))
			if kept, err2 := certs.ImportPEM(text); err != nil || err2 != nil || !bytes.Equal(kept.Raw, oldCA) {
				t.Errorf("the old CA is not kept: %v, %v", err, err2)
			}
			if info, err := os.Stat(filepath.Join(r.Retired, "private/cakey.pem")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("its key: %v %v", info, err)
			}
			for _, name := range []string{"next", "rotation.json"} {
				if _, err := os.Lstat(filepath.Join(b.Dir(), name)); err == nil {
					t.Errorf("%s is left", name)
				}
			}
			if _, err := testcluster.Add(t, cluster.Spec{Dir: filepath.Join(dir, "eve"), Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []cluster.Member{{Name: "eve", Role: certs.Client}}}, b); err != nil {
				t.Error(err)
			}
			crash.NoLeftovers(t, "at the end", dir)
			crash.Closed(t, "at the end", filepath.Dir(dir), "clientkey.pem")
		})
	}
}

func TestRotateWaitsForWhoIsNotThere(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "cluster")
	a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt))
	all := testcluster.Spots(t, dir)
	some := slices.DeleteFunc(slices.Clone(all), func(s layout.Spot) bool { return strings.Contains(s.Root, "admin") })
	r, err := rotation.Advance(ctx, a, rotation.Request{Spots: some, Successor: successor(t, "CN=two"), Now: time.Now()})
	if err != nil || r.Done || len(r.Lacks) != 1 || r.Lacks[0].Where != "client admin (libvirt)" || !r.Lacks[0].Unseen {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := rotation.Advance(ctx, a, rotation.Request{Spots: some, Stage: ca.IssueNew, Now: time.Now()}); err == nil {
		t.Error("the next stage was done")
	}
	// In a directory of its own, later.
	rotate(t, a, rotation.Request{Spots: all, Stage: ca.TrustBoth})
	// A host that lost its new CA file is found before the new CA issues.
	file := all[0].Shown(all[0].Paths(certs.Client).CA)
	both, err := os.ReadFile(file)
	if err != nil || os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.CertDER()}), 0o644) != nil {
		t.Fatal(err)
	}
	var lack *rotation.LackError
	if _, err := rotation.Advance(ctx, a, rotation.Request{Spots: all, Now: time.Now()}); !errors.As(err, &lack) || lack.Lacks[0].Where != file || lack.Lacks[0].What != "the new CA is not in its CA file" {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, both, 0o644); err != nil {
		t.Fatal(err)
	}
	rotate(t, a, rotation.Request{Spots: all})
	r, err = rotation.Advance(ctx, a, rotation.Request{Spots: some, Now: time.Now()})
	if err != nil || r.Done || len(r.Lacks) != 1 || len(r.Renewed) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := rotation.Advance(ctx, a, rotation.Request{Spots: all, Stage: ca.PruneOld, Now: time.Now()}); err == nil {
		t.Error("pruned while a client has a certificate of the old CA")
	}
	s, ok, err := rotation.StatusOf(ctx, a, some, nil, time.Now())
	if err != nil || !ok || s.NextStage != ca.SwitchOver || len(s.Lacks) != 1 || len(s.Places) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	// The client's new certificate is known to have arrived: the old one counts no more.
	r, err = rotation.Advance(ctx, a, rotation.Request{Spots: some, ByHand: []string{"admin"}, Now: time.Now()})
	if err != nil || !r.Done {
		t.Errorf("%+v, %v", r, err)
	}
	var used *ca.StageError
	if _, err := rotation.Abort(ctx, a, rotation.Request{Spots: all, Now: time.Now()}); !errors.As(err, &used) {
		t.Errorf("given up: %v", err)
	}
}

func TestARotationIsGivenUp(t *testing.T) {
	ctx := context.Background()
	for _, stages := range []int{1, 2} {
		dir := filepath.Join(t.TempDir(), "cluster")
		a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt))
		id, before := a.ID(), trusted(t, dir)
		for range stages {
			rotate(t, a, rotation.Request{Spots: testcluster.Spots(t, dir), Successor: successor(t, "CN=two")})
		}
		if stages == 2 {
			if _, err := testcluster.Add(t, cluster.Spec{Dir: filepath.Join(dir, "bob"), Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []cluster.Member{{Name: "bob", Role: certs.Client}}}, a); err != nil {
				t.Fatal(err)
			}
			var used *rotation.InUseError
			if _, err := rotation.Abort(ctx, a, rotation.Request{Spots: testcluster.Spots(t, dir), Now: time.Now()}); !errors.As(err, &used) || fmt.Sprint(used.Hosts) != "[bob]" {
				t.Errorf("given up: %v", err)
			}
			es, err := a.Inventory().ByHost(ctx, "bob")
			if err != nil || a.Inventory().Revoke(ctx, es[0].Key, time.Now(), 5) != nil || os.RemoveAll(filepath.Join(dir, "bob")) != nil {
				t.Fatal(err)
			}
		}
		if _, err := rotation.Abort(ctx, a, rotation.Request{Spots: testcluster.Spots(t, dir), Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if after := trusted(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("trusted: %v", after)
		}
		b := testcluster.Open(t, dir)
		if _, ok := b.Rotation(); ok || a.ID() != id || b.ID() != id || !a.Unlocked() {
			t.Errorf("%s, %s", a.ID(), b.ID())
		}
		rotate(t, b, rotation.Request{Spots: testcluster.Spots(t, dir), Successor: successor(t, "CN=three")})
	}
}

func TestRotateHoldsTheLimitsOfCAFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		cas   int
		extra int
		want  string
	}{
		{"fifteen others", 15, 0, "would hold 17 CAs: libvirt looks at the first 16 only"},
		{"fourteen others", 14, 0, ""},
		{"a file that is too large", 0, 64 << 10, "bytes: libvirt reads no CA file of more than 65536"},
	} {
		dir := filepath.Join(t.TempDir(), "flat")
		testcluster.Make(t, flat(t, dir)).Close()
		file := dir + "/cacert.pem"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.cas {
			text = append(text, testpki.NewCA(t, testpki.CN(fmt.Sprintf("other %d", i))).CertPEM()...)
		}
		text = append(text, bytes.Repeat([]byte("# a comment\n"), c.extra/12)...)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		a := testcluster.Open(t, dir)
		r, err := rotation.Advance(context.Background(), a, rotation.Request{Spots: testcluster.Spots(t, dir), Successor: successor(t, "CN=two"), Now: time.Now()})
		var limit *rotation.LimitError
		switch {
		case c.want == "":
			if err != nil || !r.Done {
				t.Errorf("%s: %+v, %v", c.name, r, err)
			}
		case !errors.As(err, &limit) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v", c.name, err)
		default:
			if _, ok := a.Rotation(); ok {
				t.Errorf("%s: a rotation was begun", c.name)
			}
		}
	}
}

func TestRevocationListsWhileTheCAIsReplaced(t *testing.T) {
	ctx := context.Background()
	for _, subject := range []string{"", "CN=two"} {
		dir := filepath.Join(t.TempDir(), "cluster")
		a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt))
		old, err := a.Inventory().ByHost(ctx, "admin")
		if err != nil || a.Inventory().Revoke(ctx, old[0].Key, time.Now(), 1) != nil {
			t.Fatal(err)
		}
		rotate(t, a, rotation.Request{Spots: testcluster.Spots(t, dir), Successor: successor(t, subject)})
		rotate(t, a, rotation.Request{Spots: testcluster.Spots(t, dir)})
		made, err := testcluster.Add(t, cluster.Spec{Dir: filepath.Join(dir, "bob"), Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []cluster.Member{{Name: "bob", Role: certs.Client}}}, a)
		if err != nil {
			t.Fatal(err)
		}
		young, err := a.Inventory().ByHost(ctx, "bob")
		if err != nil || a.Inventory().Revoke(ctx, young[0].Key, time.Now(), 1) != nil {
			t.Fatal(made, err)
		}
		l, err := a.MakeList(ctx, time.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		want := 2
		if subject != "" {
			want = 1
			if _, err := a.Fellow().MakeList(ctx, time.Now(), 0); err != nil {
				t.Fatal(err)
			}
		}
		if l.Len() != want {
			t.Errorf("%q: %d on the list", subject, l.Len())
		}
		_, text, err := a.CRL()
		if n := bytes.Count(text, []byte("BEGIN X509 CRL")); err != nil || n != 3-want {
			t.Errorf("%q: %d lists, %v", subject, n, err)
		}
	}
}

// runRotate is the program "rotate" of the tests: it does the next stage, or gives up, or does all that remain.
func runRotate(dir, what string, step func(string)) error {
	ctx := context.Background()
	a, spots, err := testcluster.Reopen(dir)
	if err != nil {
		return err
	}
	defer a.Close()
	s := rotation.Request{Spots: spots, Now: time.Now(), Successor: ca.Successor{Now: time.Now(), Step: step}, Step: step}
	if what == "abort" {
		_, err := rotation.Abort(ctx, a, s)
		return err
	}
	for {
		r, err := rotation.Advance(ctx, a, s)
		if err != nil {
			return err
		}
		if !r.Done {
			return fmt.Errorf("%s: lacks %v", r.Stage, r.Lacks)
		}
		if what == "next" || r.Stage == ca.PruneOld {
			return nil
		}
	}
}

func TestRotateKilledAtEveryStep(t *testing.T) {
	made := filepath.Join(crash.QuickDir(t), "cluster")
	s := testcluster.Spec(t, made, layout.Libvirt)
	s.Members = s.Members[:1]
	a := testcluster.Make(t, s)
	oldCA := a.ID()
	if _, err := a.MakeList(context.Background(), time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	a.Close()
	reached := 0
	for n := 1; ; n++ {
		when := fmt.Sprintf("rotate killed before step %d", n)
		dir := filepath.Join(crash.QuickDir(t), "cluster")
		crash.CopyTree(t, made, dir)
		if err := os.Chmod(filepath.Join(dir, cluster.AuthorityName), 0o700); err != nil {
			t.Fatal(err)
		}
		if !crash.Killed(t, n, "rotate", dir, "all") {
			break
		}
		reached = n
		crash.Closed(t, when, filepath.Dir(dir), "clientkey.pem")
		a := testcluster.Open(t, dir)
		crash.Known(t, when, testcluster.Spots(t, dir), a)
		a.Close()
		if crash.Killed(t, 0, "rotate", dir, "all") {
			t.Fatal("killed")
		}
		b := testcluster.Open(t, dir)
		r, underWay := b.Rotation()
		switch {
		case underWay:
			t.Errorf("%s, and repeated: %+v", when, r)
		case b.ID() == oldCA:
			t.Errorf("%s, and repeated: the old CA issues", when)
		}
		for file, cas := range trusted(t, dir) {
			if len(cas) != 1 {
				t.Errorf("%s, and repeated: %s trusts %v", when, file, cas)
			}
		}
		for file, cert := range crash.Pairs(t, when+", and repeated", testcluster.Spots(t, dir)) {
			if _, err := b.KeyOf(cert); err != nil {
				t.Errorf("%s, and repeated: %s: %v", when, file, err)
			}
		}
		crash.NoLeftovers(t, when+", and repeated", dir)
		entries, err := b.Inventory().List(context.Background(), inventory.Filter{States: []inventory.State{inventory.Published}})
		if err != nil || len(entries) != 2 {
			t.Errorf("%s, and repeated: %d are published, %v", when, len(entries), err)
		}
		b.Close()
	}
	if reached < 100 {
		t.Errorf("only %d steps", reached)
	}
	t.Logf("%d steps", reached)
}
