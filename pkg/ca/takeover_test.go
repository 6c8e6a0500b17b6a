package ca

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func TestWhatADoublePreparedIsTakenOver(t *testing.T) {
	s := spec(t)
	double, err := s.Rehearse()
	if err != nil {
		t.Fatal(err)
	}
	now := s.Now
	prepare := func(o Order) []*Prepared {
		t.Helper()
		list, err := double.PrepareAll(now, []Order{o})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	server := order(t, certs.Server, "CN=kvm1", "kvm1", "192.0.2.1")
	list := prepare(server)
	a := create(t, filepath.Join(t.TempDir(), "authority"), s)
	taken, ok := a.TakeOver(double, list)
	if !ok || len(taken) != 1 || taken[0].Serial().Cmp(list[0].Serial()) != 0 {
		t.Fatalf("%v, %v", taken, ok)
	}
	issued, err := a.Issue(context.Background(), taken[0])
	if err != nil {
		t.Fatal(err)
	}
	cas, err := a.Certificates()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := issued.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range (verify.Own{Role: certs.Server, Cert: cert, CAs: cas, At: now, Libvirt: verify.Measured()[0]}).Check() {
		if f.Severity == finding.Error {
			t.Errorf("%v", f)
		}
	}
	// A serial number serves once, whoever issues.
	if _, ok := a.TakeOver(double, list); ok {
		t.Error("it was taken over twice")
	}
	if _, err := a.Issue(context.Background(), taken[0]); !errors.Is(err, ErrSpent) {
		t.Errorf("issued twice: %v", err)
	}
	// Another authority than the double's.
	for name, change := range map[string]func(*Spec){
		"another subject": func(s *Spec) { s.Subject = name(t, "CN=Other") },
		"another end":     func(s *Spec) { s.NotAfter = s.Now.AddDate(1, 0, 0) },
		"another policy":  func(s *Spec) { s.Policy.Lifetime = time.Hour },
		"another key":     func(s *Spec) { s.Key = certs.Ed25519 },
		"constraints": func(s *Spec) {
			if err := s.Constraints.ParseConstraint("example.com", false); err != nil {
				t.Fatal(err)
			}
		},
	} {
		other := s
		change(&other)
		b := create(t, filepath.Join(t.TempDir(), "authority"), other)
		if _, ok := b.TakeOver(double, prepare(server)); ok {
			t.Errorf("%s: taken over", name)
		}
	}
	foreign, err := s.Rehearse()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := a.TakeOver(foreign, prepare(server)); ok {
		t.Error("taken over from one that did not prepare it")
	}
}
