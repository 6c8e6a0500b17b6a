package ca

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

var listTime = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// listAuthority makes an authority in a directory, unlocked.
func listAuthority(t testing.TB) *Authority {
	t.Helper()
	subject, err := dn.Parse("O=Acme,CN=Acme CA")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Create(context.Background(), filepath.Join(t.TempDir(), "authority"), Spec{Subject: subject, Now: listTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if err := a.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	return a
}

func issueClient(t testing.TB, a *Authority, name string) Issued {
	t.Helper()
	subject, err := dn.Parse("CN=" + name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Prepare(listTime, Order{Request: certs.Request{Role: certs.Client, Subject: subject}, Host: name, Layout: "libvirt"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func TestAListHoldsWhatIsRevokedAndIsNeverOlder(t *testing.T) {
	ctx := context.Background()
	a := listAuthority(t)
	alice, bob := issueClient(t, a, "alice"), issueClient(t, a, "bob")
	if own, text, err := a.CRL(); own != nil || text != nil || err != nil {
		t.Errorf("no list yet: %v, %v", own, err)
	}
	first, err := a.MakeList(ctx, listTime, 0)
	if err != nil || first.Number.Int64() != 1 || first.Len() != 0 || first.Previous != nil || !first.NextUpdate.Equal(listTime.Add(ListLife)) {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := a.Inventory().Revoke(ctx, alice.Entry.Key, listTime.Add(time.Minute), 1); err != nil {
		t.Fatal(err)
	}
	second, err := a.MakeList(ctx, listTime.Add(time.Hour), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := a.Certificates()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Validate(issuer[0], listTime.Add(2*time.Hour)), second.CheckNewer(first.List)); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		who     Issued
		revoked bool
	}{{alice, true}, {bob, false}} {
		cert, _ := c.who.Certificate()
		e, found, err := second.Lookup(cert.Serial)
		if err != nil || found != c.revoked || found && (e.Reason != 1 || !e.Revoked.Equal(listTime.Add(time.Minute))) {
			t.Errorf("%s: %v %+v, %v", c.who.Order.Host, found, e, err)
		}
	}
	own, text, err := a.CRL()
	if err != nil || string(own.Raw) != string(second.Raw) || string(text) != string(second.File) {
		t.Errorf("%v, %v", own, err)
	}
	if info, err := os.Stat(a.CRLPath()); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	// A clock that jumped back spends no number and leaves the list.
	var clock *inventory.ClockError
	if _, err := a.MakeList(ctx, listTime, 0); !errors.As(err, &clock) {
		t.Errorf("%v", err)
	}
	// The file is lost: the inventory still knows the number.
	if err := os.Remove(a.CRLPath()); err != nil {
		t.Fatal(err)
	}
	if third, err := a.MakeList(ctx, listTime.Add(2*time.Hour), 0); err != nil || third.Number.Int64() != 3 || third.Len() != 1 {
		t.Errorf("%+v, %v", third, err)
	}
	if err := os.WriteFile(a.CRLPath(), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.MakeList(ctx, listTime.Add(3*time.Hour), 0); err == nil || !strings.Contains(err.Error(), "cacrl.pem\": no revocation list in PEM") {
		t.Errorf("%v", err)
	}
}

func TestOtherCAsListsStayInTheFile(t *testing.T) {
	ctx := context.Background()
	a := listAuthority(t)
	foreign, err := crl.Parse(testpki.NewCA(t, testpki.CN("Other")).CRL(9))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.CRLPath(), foreign.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := a.MakeList(ctx, listTime.Add(time.Duration(i)*time.Hour), 0); err != nil {
			t.Fatal(err)
		}
	}
	_, text, err := a.CRL()
	lists, err2 := crl.ParsePEM(text)
	if err != nil || err2 != nil || len(lists) != 2 || lists[0].Number.Int64() != 2 || string(lists[1].Raw) != string(foreign.Raw) {
		t.Errorf("%v, %v, %v", lists, err, err2)
	}
}

func TestAStrangersCertificateIsNotRevoked(t *testing.T) {
	ctx := context.Background()
	a := listAuthority(t)
	ours := issueClient(t, a, "alice")
	cert, err := ours.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if k, err := a.KeyOf(cert); err != nil || k != ours.Entry.Key {
		t.Errorf("%v, %v; want %v", k, err, ours.Entry.Key)
	}
	twin := testpki.NewCA(t)
	stranger, err := certs.Import(twin.Client("eve").DER)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.KeyOf(stranger)
	var se *StrangerError
	if !errors.As(err, &se) || err.Error() != `the certificate of "CN=eve" was issued by "CN=Test CA", not by this authority, "O=Acme,CN=Acme CA"` {
		t.Errorf("%v", err)
	}
	if _, err := a.Register(ctx, stranger, listTime); !errors.As(err, &se) {
		t.Errorf("%v", err)
	}
	if _, err := a.Register(ctx, cert, listTime); !errors.Is(err, inventory.ErrDuplicateSerial) {
		t.Errorf("known already: %v", err)
	}
}

// A CA that certtool or openssl ran before is adopted, and what it issued then can be revoked.
func TestWhatAnAdoptedCAIssuedBeforeIsRegistered(t *testing.T) {
	ctx := context.Background()
	old := testpki.NewCA(t)
	early := old.Server("kvm1.example.com", testpki.Names("kvm1.example.com", "192.0.2.1"))
	a, err := Adopt(ctx, filepath.Join(t.TempDir(), "authority"), Adoption{Cert: old.CertPEM(), Key: old.KeyPEM(), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	cert, err := certs.Import(early.DER)
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.Register(ctx, cert, time.Now())
	if err != nil || e.Host != "kvm1.example.com" || e.Role != certs.Server || fmt.Sprint(e.Names, e.Addresses) != "[kvm1.example.com] [192.0.2.1]" {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := a.Inventory().Revoke(ctx, e.Key, time.Now(), 4); err != nil {
		t.Fatal(err)
	}
	l, err := a.MakeList(ctx, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := l.Lookup(cert.Serial); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

func TestListsMadeByManyAtOnceRise(t *testing.T) {
	ctx := context.Background()
	a := listAuthority(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	numbers := map[string]bool{}
	for range 6 {
		group.Go(func() {
			own, err := Open(ctx, a.Dir())
			if err == nil {
				err = own.Unlock(nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
			defer own.Close()
			for range 5 {
				l, err := own.MakeList(ctx, listTime, 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				numbers[l.Number.String()] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	own, _, err := a.CRL()
	if err != nil || len(numbers) != 30 || own.Number.Int64() != 30 || !own.ThisUpdate.Equal(listTime.Add(29*time.Second)) {
		t.Errorf("%d numbers, the last list is %v of %v; %v", len(numbers), own, own.ThisUpdate, err)
	}
}
