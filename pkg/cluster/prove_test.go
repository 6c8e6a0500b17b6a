package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
)

func TestAProofFindsEveryFault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	s := treeSpec(t, dir)
	makeAll(t, s, caSpec(t), Options{})
	other := filepath.Join(t.TempDir(), "other")
	makeAll(t, treeSpec(t, other), caSpec(t), Options{})
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	prove := func(at time.Time) proof.Result {
		p, err := s.Plan(open(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		p.spec.Now = at
		r, err := p.prove(context.Background(), os.DirFS(dir), nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := prove(s.Now); len(r.Failures) > 0 || r.Pairs != 4 || r.Handshakes != 4 {
		t.Fatalf("nothing is wrong, but %+v", r)
	}
	const libvirt = "kvm2.example.com/etc/pki/libvirt/"
	for _, tt := range []struct {
		name    string
		file    string
		content []byte // nil: removed
		at      time.Time
		want    []proof.Failure
	}{
		{"a missing certificate", libvirt + "servercert.pem", nil, s.Now, []proof.Failure{{Server: "kvm2.example.com", Version: "9.0.0",
			Outcome: finding.DaemonDown}}},
		{"another host's certificate", libvirt + "servercert.pem", read(dir + "/kvm1.example.com/etc/pki/libvirt/servercert.pem"), s.Now,
			[]proof.Failure{{Server: "kvm2.example.com", Version: "9.0.0", Outcome: finding.DaemonDown}}},
		{"another cluster's CA", "admin/etc/pki/CA/cacert.pem", read(other + "/admin/etc/pki/CA/cacert.pem"), s.Now,
			[]proof.Failure{{Client: "admin", Version: "9.0.0", Outcome: finding.ClientLocal}}},
		{"garbage for a key", "admin/etc/pki/libvirt/private/clientkey.pem", []byte("garbage"), s.Now,
			[]proof.Failure{{Client: "admin", Version: "9.0.0", Outcome: finding.ClientLocal}}},
		{"a day too late", "", nil, s.Now.AddDate(1, 0, 1), []proof.Failure{{Server: "kvm1.example.com", Version: "9.0.0", Outcome: finding.DaemonDown}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != "" {
				path := filepath.Join(dir, tt.file)
				was := read(path)
				defer os.WriteFile(path, was, 0o600)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if tt.content != nil {
					if err := os.WriteFile(path, tt.content, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			r := prove(tt.at)
			if len(r.Failures) == 0 {
				t.Fatal("nothing was found")
			}
			got := r.Failures[0]
			if got.Message == "" {
				t.Errorf("no message: %+v", got)
			}
			got.Message = ""
			if d := cmp.Diff(tt.want, []proof.Failure{got}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAFailingProofPublishesNothing(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "cluster")
	p := plan(t, treeSpec(t, dir), caSpec(t))
	// The file that is read back is not the file that was written.
	spoil := func(o *Options) {
		o.Step = func(step string) {
			if step != "prove" {
				return
			}
			crash.Walk(t, above, func(path string, text []byte, _ os.FileInfo) {
				if filepath.Base(path) == "clientcert.pem" && !strings.HasPrefix(path, dir+"/admin") {
					if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	var o Options
	spoil(&o)
	_, err := p.Make(context.Background(), founded(caSpec(t)), o)
	var pe *proof.Error
	if !errors.As(err, &pe) || len(pe.Result.Failures) == 0 {
		t.Fatalf("%v, want a proof.Error", err)
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	// The same when adding: the inventory knows that they were given up.
	makeAll(t, treeSpec(t, dir), caSpec(t), Options{})
	before := crash.Tree(t, dir)
	a := open(t, dir)
	for _, flat := range []bool{false, true} {
		s := treeSpec(t, dir)
		s.Members = []Member{member(t, certs.Server, "kvm3"), member(t, certs.Client, "bob")}
		if flat {
			s.Dir, s.Kinds = filepath.Join(above, "flat"), []layout.Kind{layout.PkiPath}
		}
		p, err := s.Plan(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = p.Add(context.Background(), o); !errors.As(err, &pe) {
			t.Fatalf("flat %v: %v, want a proof.Error", flat, err)
		}
	}
	if d := cmp.Diff(before, crash.Tree(t, dir)); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if _, err := os.Lstat(filepath.Join(above, "flat")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the flat directory was left: %v", err)
	}
	if got, want := crash.States(t, a), "4 published, 4 abandoned"; got != want {
		t.Errorf("inventory: %s, want %s", got, want)
	}
}

func TestProgressIsToldToItsEnd(t *testing.T) {
	var mu sync.Mutex
	most := map[string][2]int{}
	makeAll(t, treeSpec(t, filepath.Join(t.TempDir(), "cluster")), caSpec(t), Options{Progress: func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if done >= most[stage][0] {
			most[stage] = [2]int{done, total}
		}
	}})
	want := map[string][2]int{"issuing": {4, 4}, "writing": {3, 3}, "proving": {4, 4}}
	if d := cmp.Diff(want, most); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
