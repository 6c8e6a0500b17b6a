package cluster

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// TestMain runs the test binary as a program of the tests when they ask for it.
func TestMain(m *testing.M) { crash.Main(m, "github.com/virt-pki/virt-pki/pkg/cluster", run) }

// run is what the test binary does as a program: "make", "make-flat", "adopt", "add", "add-flat" with the arguments DIR, or DIR OUT
// CLIENT, and what other files have.
func run(what string, args []string, step func(string)) error {
	switch what {
	case "kept":
		return runKept(args)
	case "operate":
		return runOperator(args)
	case "publish":
		return runPublisher(args)
	case "apply":
		return runApply(args[0], step)
	}
	ctx := context.Background()
	s := Spec{Dir: args[0], Now: time.Now(), Members: []Member{{Name: "kvm1", Role: certs.Peer}, {Name: "admin", Role: certs.Client}}}
	s.Kinds = []layout.Kind{layout.Libvirt, layout.QEMU}
	if strings.HasSuffix(what, "-flat") {
		s.Kinds, s.Members = []layout.Kind{layout.PkiPath}, []Member{{Name: "kvm1", Role: certs.Server}, {Name: "admin", Role: certs.Client}}
	}
	o := Options{Step: step}
	if strings.HasPrefix(what, "add") {
		s.Dir, s.Members = args[1], []Member{{Name: args[2], Role: certs.Client}}
		if what == "add" {
			s.Kinds = nil
		}
		a, err := ca.Open(ctx, filepath.Join(args[0], AuthorityName))
		if err != nil {
			return err
		}
		defer a.Close()
		if err := a.Unlock(nil); err != nil {
			return err
		}
		p, err := s.Plan(a)
		if err != nil {
			return err
		}
		_, err = p.Add(ctx, o)
		return err
	}
	subject, err := dn.Parse("CN=Acme CA")
	if err != nil {
		return err
	}
	cs := ca.Spec{Subject: subject, Now: s.Now, Step: step}
	double, err := cs.Rehearse()
	if err != nil {
		return err
	}
	found := founded(cs)
	if what == "adopt" {
		ad := ca.Adoption{Now: s.Now, Step: step}
		if ad.Cert, err = os.ReadFile(args[1] + "/cacert.pem"); err != nil {
			return err
		}
		if ad.Key, err = os.ReadFile(args[1] + "/private/cakey.pem"); err != nil {
			return err
		}
		if double, err = ad.Rehearse(); err != nil {
			return err
		}
		found = func(ctx context.Context, dir string) (*ca.Authority, error) { return ca.Adopt(ctx, dir, ad) }
	}
	p, err := s.Plan(double)
	if err != nil {
		return err
	}
	_, err = p.Make(ctx, found, o)
	return err
}

func TestMakeKilledAtEveryStep(t *testing.T) {
	_, a := cluster(t)
	for _, what := range []string{"make", "make-flat", "adopt"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			reached := 0
			for n := 1; ; n++ {
				when := fmt.Sprintf("%s killed before step %d", what, n)
				top := crash.QuickDir(t)
				dir := filepath.Join(top, "made", "cluster")
				if !crash.Killed(t, n, what, dir, a.Dir()) {
					break
				}
				reached = n
				crash.Closed(t, when, top, "clientkey.pem")
				_, err := os.Lstat(dir)
				whole := err == nil // the rename was done
				if whole {
					crash.Accounted(t, dir, open(t, dir))
				} else if out, err := crash.Self(what, dir, a.Dir()).CombinedOutput(); err != nil {
					t.Fatalf("%s: the second run: %v: %s", when, err, out)
				}
				crash.NoLeftovers(t, when, top)
				b := open(t, dir)
				want := map[string]string{"make": "5 published", "adopt": "5 published", "make-flat": "2 published"}[what]
				if got := crash.States(t, b); got != want {
					t.Errorf("%s: inventory: %s, want %s", when, got, want)
				}
				if n, want := crash.Accounted(t, dir, b), map[string]int{"make": 11, "adopt": 11, "make-flat": 4}[what]; n != want {
					t.Errorf("%s: %d certificates, want %d", when, n, want)
				}
				b.Close()
			}
			if reached < 40 {
				t.Errorf("only %d steps", reached)
			}
			t.Logf("%d steps", reached)
		})
	}
}

func TestAddKilledAtEveryStep(t *testing.T) {
	for _, what := range []string{"add", "add-flat"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, a := clusterIn(t, crash.QuickDir(t))
			reached := 0
			for n := 1; ; n++ {
				when := fmt.Sprintf("%s killed before step %d", what, n)
				client := fmt.Sprintf("client%d", n)
				top := crash.QuickDir(t)
				out := filepath.Join(top, "out")
				if !crash.Killed(t, n, what, dir, out, client) {
					break
				}
				reached = n
				crash.Closed(t, when, top, "clientkey.pem")
				if _, err := os.Lstat(out); err == nil {
					crash.Accounted(t, out, a)
				}
				if text, err := crash.Self(what, dir, out, client).CombinedOutput(); err != nil {
					t.Fatalf("%s: the second run: %v: %s", when, err, text)
				}
				crash.NoLeftovers(t, when, top)
				crash.Closed(t, when, top, "clientkey.pem")
				if n := crash.Accounted(t, out, a); n != 2 {
					t.Errorf("%s: %d certificates", when, n)
				}
				// What lies there is published, all else is not.
				entries, err := a.Inventory().ByHost(context.Background(), client)
				if err != nil {
					t.Fatal(err)
				}
				published := 0
				for _, e := range entries {
					if e.State == inventory.Published {
						published++
						found := false
						crash.Walk(t, out, func(_ string, text []byte, _ fs.FileInfo) { found = found || string(text) == string(e.PEM) })
						if !found {
							t.Errorf("%s: published, but not there: %s", when, e.Serial)
						}
					}
				}
				if published != 1 {
					t.Errorf("%s: %d published of %d", when, published, len(entries))
				}
				// A third has nothing to do and does nothing.
				if text, err := crash.Self(what, dir, out, client).CombinedOutput(); err == nil || !strings.Contains(string(text), "there already") && !strings.Contains(string(text), "already there") {
					t.Errorf("%s: the third run: %v: %s", when, err, text)
				}
			}
			if reached < 20 {
				t.Errorf("only %d steps", reached)
			}
			t.Logf("%d steps", reached)
		})
	}
}

// The steps above do not reach into SQLite. A kill at any time does.
func TestAddKilledAtAnyTime(t *testing.T) {
	dir, a := clusterIn(t, crash.QuickDir(t))
	begun := time.Now()
	if out, err := crash.Self("add", dir, dir, "measure").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(begun)
	cut := 0
	const runs = 30
	for n := range runs {
		client := fmt.Sprintf("client%d", n)
		cmd := crash.Self("add", dir, dir, client)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(whole * time.Duration(n) / runs)
		cmd.Process.Kill()
		if cmd.Wait() != nil {
			cut++
		}
		crash.Closed(t, client, filepath.Dir(dir), "clientkey.pem")
		crash.Accounted(t, dir, a)
		text, err := crash.Self("add", dir, dir, client).CombinedOutput()
		if err != nil && !strings.Contains(string(text), client+`": it is there already`) {
			t.Fatalf("%s: the second run: %v: %s", client, err, text)
		}
		entries, err := a.Inventory().List(context.Background(), inventory.Filter{Host: client, States: []inventory.State{inventory.Published}})
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %d are published, %v", client, len(entries), err)
		}
	}
	crash.NoLeftovers(t, "at the end", dir)
	if n := crash.Accounted(t, dir, a); n != 1+2+2*(runs+1) {
		t.Errorf("%d certificates", n)
	}
	t.Logf("%d of %d were cut short", cut, runs)
	if cut < 3 {
		t.Errorf("only %d of %d were cut short", cut, runs)
	}
}
