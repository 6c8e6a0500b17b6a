package inventory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cfssl/certdb"
	certsql "github.com/cloudflare/cfssl/certdb/sql"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jmoiron/sqlx"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// When the environment names an inventory, the test program is one of the processes of recordAsProcesses.
func TestMain(m *testing.M) {
	if path := os.Getenv("INVENTORY_TEST_PATH"); path != "" {
		if err := recordAsProcess(path, os.Getenv("INVENTORY_TEST_NAME")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var day = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

func entry(serial int64, host string) Entry {
	return Entry{
		Key: NewKey(big.NewInt(serial), []byte{0xab, 1}), Host: host, Role: certs.Server, Layout: "libvirt",
		Subject: "C=GB,CN=" + host, CommonName: host, Names: []string{host}, KeyID: "aa01",
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		NotBefore: day, NotAfter: day.AddDate(50, 0, 0), PEM: []byte("-----BEGIN CERTIFICATE-----\n"),
		State: Issued, Created: day,
	}
}

func create(t *testing.T) *Inventory {
	t.Helper()
	inv, err := Create(context.Background(), filepath.Join(t.TempDir(), "inventory.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inv.Close() })
	return inv
}

func TestWhatIsRecordedIsFoundAgain(t *testing.T) {
	ctx := context.Background()
	inv := create(t)
	one, two := entry(0xABC, "kvm1"), entry(0xABD, "kvm2")
	two.Role, two.Names, two.Addresses, two.Created = certs.Client, nil, nil, day.Add(time.Second)
	if err := inv.Record(ctx, one, two); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		got  func() ([]Entry, error)
		want []Entry
	}{
		{"all", func() ([]Entry, error) { return inv.List(ctx, Filter{}) }, []Entry{one, two}},
		{"by host", func() ([]Entry, error) { return inv.ByHost(ctx, "kvm2") }, []Entry{two}},
		{"by no host", func() ([]Entry, error) { return inv.ByHost(ctx, "") }, nil},
		{"by an unknown host", func() ([]Entry, error) { return inv.ByHost(ctx, "kvm3") }, nil},
		{"by serial as openssl prints it", func() ([]Entry, error) { return inv.BySerial(ctx, "0ABC") }, []Entry{one}},
		{"by serial with colons", func() ([]Entry, error) { return inv.BySerial(ctx, "0a:bd") }, []Entry{two}},
		{"by role", func() ([]Entry, error) { return inv.List(ctx, Filter{Role: certs.Client}) }, []Entry{two}},
		{"by layout", func() ([]Entry, error) { return inv.List(ctx, Filter{Layout: "qemu"}) }, nil},
		{"by states", func() ([]Entry, error) { return inv.List(ctx, Filter{States: []State{Issued, Published}}) },
			[]Entry{one, two}},
		{"by key", func() ([]Entry, error) { e, err := inv.Get(ctx, two.Key); return []Entry{e}, err }, []Entry{two}},
	} {
		got, err := tt.got()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
			cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	for _, err := range []error{second(inv.BySerial(ctx, "ABE")), second(inv.Get(ctx, Key{"ABC", "00"})),
		inv.MarkPublished(ctx, Key{"ABC", "00"})} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("want ErrNotFound, got %v", err)
		}
	}
	if err := second(inv.BySerial(ctx, "xyz")); err == nil || err.Error() != `"xyz" is no serial number: hexadecimal digits are needed` {
		t.Errorf("BySerial(xyz): %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSerialsInManySpellings(t *testing.T) {
	for in, want := range map[string]string{
		"ab": "AB", "00:AB:cd": "ABCD", "0xAB": "AB", "0": "0", "a b c": "ABC",
		"": "", "-1": "", "+1": "", "g": "", "1_0": "", "0x": "",
	} {
		got, err := ParseSerial(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseSerial(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestStatesGoForwardOnly(t *testing.T) {
	ctx := context.Background()
	inv := create(t)
	e := entry(1, "kvm1")
	if err := inv.Record(ctx, e, entry(2, "kvm2")); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		do   func(context.Context, ...Key) error
		want string // the message; empty: success
		is   State
	}{
		{inv.MarkSuperseded, "certificate 1 is issued and cannot become superseded", Issued},
		{inv.MarkPublished, "", Published},
		{inv.MarkPublished, "", Published},
		{inv.Abandon, "certificate 1 is published and cannot become abandoned", Published},
		{inv.MarkSuperseded, "", Superseded},
		{inv.MarkPublished, "certificate 1 is superseded and cannot become published", Superseded},
	}
	for i, s := range steps {
		err := s.do(ctx, e.Key)
		if s.want == "" && err != nil || s.want != "" && (err == nil || !strings.HasSuffix(err.Error(), s.want)) {
			t.Errorf("step %d: got %v, want %q", i, err, s.want)
		}
		if got, _ := inv.Get(ctx, e.Key); got.State != s.is {
			t.Errorf("step %d: state %s, want %s", i, got.State, s.is)
		}
	}
	// One bad key, and nothing changes.
	if err := inv.Abandon(ctx, Key{"2", "ab01"}, e.Key); err == nil {
		t.Error("abandoning a superseded certificate succeeded")
	}
	if got, _ := inv.Get(ctx, Key{"2", "ab01"}); got.State != Issued {
		t.Errorf("state %s after a failed batch, want issued", got.State)
	}
}

func TestBatchesOfAnySizeAreRecordedWhole(t *testing.T) {
	ctx := context.Background()
	inv := create(t)
	total := int64(0)
	for _, n := range []int64{1, rowsAtOnce - 1, rowsAtOnce, rowsAtOnce + 1, 5*rowsAtOnce + 3} {
		var batch []Entry
		for range n {
			total++
			batch = append(batch, entry(total, fmt.Sprint("kvm", total)))
		}
		if err := inv.Record(ctx, batch...); err != nil {
			t.Fatal(err)
		}
		last, err := inv.BySerial(ctx, fmt.Sprintf("%X", total))
		if err != nil || last[0].Host != fmt.Sprint("kvm", total) {
			t.Errorf("the last of %d: %+v, %v", n, last, err)
		}
	}
	if es, err := inv.List(ctx, Filter{}); err != nil || int64(len(es)) != total {
		t.Errorf("%d entries of %d, %v", len(es), total, err)
	}
}

func TestADuplicateSerialRefusesTheWholeBatch(t *testing.T) {
	ctx := context.Background()
	inv := create(t)
	if err := inv.Record(ctx, entry(7, "a")); err != nil {
		t.Fatal(err)
	}
	err := inv.Record(ctx, entry(8, "b"), entry(7, "c"))
	var dup *DuplicateError
	if !errors.Is(err, ErrDuplicateSerial) || !errors.As(err, &dup) || dup.Key.Serial != "7" {
		t.Errorf("got %v", err)
	}
	if es, _ := inv.List(ctx, Filter{}); len(es) != 1 {
		t.Errorf("%d entries, want 1", len(es))
	}
	// Twice in a batch, and in one of more rows than a statement takes.
	var many []Entry
	for i := range int64(3 * rowsAtOnce) {
		many = append(many, entry(1000+i, "d"))
	}
	for _, tt := range []struct {
		last Entry
		want string
	}{{entry(1001, "e"), "3E9"}, {entry(7, "e"), "7"}} {
		if err := inv.Record(ctx, append(many[:len(many):len(many)], tt.last)...); !errors.As(err, &dup) || dup.Key.Serial != tt.want {
			t.Errorf("got %v, want serial %s", err, tt.want)
		}
		if es, _ := inv.List(ctx, Filter{}); len(es) != 1 {
			t.Errorf("%d entries, want 1", len(es))
		}
	}
	// The same serial below another authority is another certificate.
	other := entry(7, "c")
	other.Authority = "ff"
	if err := inv.Record(ctx, other); err != nil {
		t.Error(err)
	}
	if es, _ := inv.BySerial(ctx, "7"); len(es) != 2 {
		t.Errorf("%d entries of serial 7, want 2", len(es))
	}
}

func TestTheFileIsPrivateWhateverTheUmask(t *testing.T) {
	inv := create(t)
	info, err := os.Stat(inv.Path())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if err := inv.Record(context.Background(), entry(1, "a")); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(filepath.Dir(inv.Path()))
	if len(left) != 1 {
		t.Errorf("%d files beside the inventory at rest: %v", len(left)-1, left)
	}
}

func TestOpenSaysWhatAFileIs(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name, statements string) string {
		path := file(name, "")
		db, err := sqlx.Open("sqlite", source(path))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statements); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inv := create(t)
	if _, err := inv.db.Exec(`INSERT INTO virt_pki_schema (version) VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		is         error
		text       string
	}{
		{"missing", filepath.Join(dir, "none"), fs.ErrNotExist, "opening the inventory: stat " + dir + "/none: no such file or directory"},
		{"text", file("text", strings.Repeat("no database\n", 100)), ErrNotInventory,
			fmt.Sprintf("opening the inventory %q: not an inventory of virt-pki or a certdb of cfssl", dir+"/text")},
		{"directory", dir, ErrNotInventory,
			fmt.Sprintf("opening the inventory %q: not an inventory of virt-pki or a certdb of cfssl: no regular file", dir)},
		{"another database", database("other", `CREATE TABLE song (title text)`), ErrNotInventory,
			fmt.Sprintf("opening the inventory %q: not an inventory of virt-pki or a certdb of cfssl", dir+"/other")},
		{"newer", inv.Path(), nil, fmt.Sprintf("opening the inventory %q: inventory %q has schema 99, this program knows schemas up to 4",
			inv.Path(), inv.Path())},
	} {
		_, err := Open(ctx, tt.path)
		if err == nil || err.Error() != tt.text {
			t.Errorf("%s: got  %v\nwant %s", tt.name, err, tt.text)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v is not %v", tt.name, err, tt.is)
		}
	}
	var newer *NewerError
	if _, err := Open(ctx, inv.Path()); !errors.As(err, &newer) || newer.Schema != 99 || newer.Known != 4 {
		t.Errorf("newer: %v", err)
	}
	if _, err := Create(ctx, inv.Path()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating over an inventory: %v", err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(ctx, filepath.Join(dir, "link")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating through a symbolic link: %v", err)
	}
	// An empty file is an interrupted creation.
	empty, err := Open(ctx, file("empty", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if err := empty.Record(ctx, entry(1, "a")); err != nil {
		t.Error(err)
	}
}

func TestTroubleOfTheFileSystemIsNamed(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name, pragma string
		want         Trouble
	}{
		{"disk full", "PRAGMA max_page_count = 1", Full},
		{"read-only", "PRAGMA query_only = 1", ReadOnly},
	} {
		inv := create(t)
		if _, err := inv.db.Exec(tt.pragma); err != nil {
			t.Fatal(err)
		}
		var err error
		for i := int64(0); err == nil && i < 100; i++ {
			e := entry(i, "a")
			e.PEM = make([]byte, 5000)
			err = inv.Record(ctx, e)
		}
		var store *StoreError
		if !errors.As(err, &store) || store.Trouble != tt.want || len(store.Hints()) == 0 {
			t.Errorf("%s: %v", tt.name, err)
		}
		if want := "recording in the inventory " + fmt.Sprintf("%q: %s: ", inv.Path(), tt.want); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s...", tt.name, err, want)
		}
	}
	t.Run("locked", func(t *testing.T) {
		two := locked(t)
		if _, err := two.db.Exec("PRAGMA busy_timeout = 50"); err != nil {
			t.Fatal(err)
		}
		var store *StoreError
		if err := two.Record(ctx, entry(1, "a")); !errors.As(err, &store) || store.Trouble != Busy {
			t.Errorf("got %v", err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		inv := create(t)
		for i := range int64(50) {
			if err := inv.Record(ctx, entry(i, "a")); err != nil {
				t.Fatal(err)
			}
		}
		inv.Close()
		data, err := os.ReadFile(inv.Path())
		if err != nil {
			t.Fatal(err)
		}
		for i := 4096; i < len(data); i++ {
			data[i] = 0x55
		}
		if err := os.WriteFile(inv.Path(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		var store *StoreError
		if _, err := Open(ctx, inv.Path()); !errors.As(err, &store) || store.Trouble != Damaged {
			t.Errorf("got %v", err)
		}
	})
}

// locked gives an inventory that another connection has locked for as long as the test runs.
func locked(t *testing.T) *Inventory {
	t.Helper()
	one := create(t)
	two, err := Open(context.Background(), one.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { two.Close() })
	tx, err := one.db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return two
}

func TestAnEndedContextEndsTheWait(t *testing.T) {
	two := locked(t)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := two.Record(ctx, entry(1, "a")); err == nil {
		t.Error("recorded under another's lock")
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("waited %v", d)
	}
}

// recordAsProcess is one process of many.
func recordAsProcess(path, name string) error {
	ctx := context.Background()
	inv, err := Open(ctx, path)
	if err != nil {
		return err
	}
	defer inv.Close()
	var base int64
	fmt.Sscan(name, &base)
	for i := range int64(processEntries) {
		e := entry(base*1000+i, "kvm"+name)
		if err := inv.Record(ctx, e); err != nil {
			return err
		}
		if err := inv.MarkPublished(ctx, e.Key); err != nil {
			return err
		}
	}
	return nil
}

const processes, processEntries = 8, 25

// recordAsProcesses lets several processes record at the same time, and looks whether all is there.
func recordAsProcesses(t *testing.T, source string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var running []*exec.Cmd
	for i := range processes {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "INVENTORY_TEST_PATH="+source, fmt.Sprintf("INVENTORY_TEST_NAME=%d", i+1))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	inv, err := Open(context.Background(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer inv.Close()
	es, err := inv.List(context.Background(), Filter{States: []State{Published}})
	if err != nil || len(es) != processes*processEntries {
		t.Errorf("%d published entries, want %d; %v", len(es), processes*processEntries, err)
	}
}

func TestSeveralProcessesLoseNothing(t *testing.T) {
	// The file is empty, so that the processes also compete for the migrations.
	path := filepath.Join(t.TempDir(), "inventory.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	recordAsProcesses(t, path)
}

func TestCfsslReadsAndRevokesWhatWeRecord(t *testing.T) {
	ctx := context.Background()
	inv := create(t)
	e := entry(0xABC, "kvm1")
	if err := inv.Record(ctx, e); err != nil {
		t.Fatal(err)
	}
	accessor := certsql.NewAccessor(inv.db)
	records, err := accessor.GetUnexpiredCertificates()
	if err != nil || len(records) != 1 {
		t.Fatalf("cfssl sees %d unexpired certificates, %v", len(records), err)
	}
	r := records[0]
	if sans, err := r.GetSANs(); r.Serial != "2748" || r.AKI != "ab01" || r.Status != "good" || r.PEM != string(e.PEM) || err != nil ||
		!r.Expiry.Equal(e.NotAfter) || !r.NotBefore.Equal(e.NotBefore) || r.CommonName.String != "kvm1" || len(sans) != 1 {
		t.Errorf("cfssl sees %+v", r)
	}
	if err := accessor.RevokeCertificate(r.Serial, r.AKI, 4); err != nil {
		t.Fatal(err)
	}
	got, err := inv.Get(ctx, e.Key)
	if err != nil || got.Revoked == nil || got.Revoked.Reason != 4 || got.Revoked.At.IsZero() {
		t.Errorf("after cfssl's revocation: %+v, %v", got.Revoked, err)
	}
	if revoked, err := accessor.GetRevokedAndUnexpiredCertificates(); err != nil || len(revoked) != 1 {
		t.Errorf("cfssl sees %d revoked certificates, %v", len(revoked), err)
	}
	// The other way round: a certificate that only cfssl recorded.
	if err := accessor.InsertCertificate(certdb.CertificateRecord{Serial: "5", AKI: "cd", Status: "good", PEM: "x",
		Expiry: day, SANsJSON: []byte(`["h"]`)}); err != nil {
		t.Fatal(err)
	}
	foreign, err := inv.List(ctx, Filter{States: []State{Foreign}})
	if err != nil || len(foreign) != 1 || foreign[0].Serial != "5" || foreign[0].State != Foreign ||
		!cmp.Equal(foreign[0].Names, []string{"h"}) || !foreign[0].NotAfter.Equal(day) {
		t.Errorf("foreign: %+v, %v", foreign, err)
	}
}

func TestADatabaseOfCfsslIsTakenOver(t *testing.T) {
	ctx := context.Background()
	ms, err := sqlite.migrations()
	if err != nil {
		t.Fatal(err)
	}
	for done := 1; done <= 2; done++ {
		path := filepath.Join(t.TempDir(), "certdb.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sqlx.Open("sqlite", source(path))
		if err != nil {
			t.Fatal(err)
		}
		// goose keeps a table of its own.
		for _, statement := range append([]string{`CREATE TABLE goose_db_version (id int)`}, ms[0].sql, ms[1].sql)[:done+1] {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec(`INSERT INTO certificates (serial_number, authority_key_identifier, status, pem) VALUES ('5','cd','good','x')`); err != nil {
			t.Fatal(err)
		}
		db.Close()
		inv, err := Open(ctx, path)
		if err != nil {
			t.Fatalf("certdb after cfssl's migration %d: %v", done, err)
		}
		if err := inv.Record(ctx, entry(1, "a")); err != nil {
			t.Error(err)
		}
		if es, err := inv.List(ctx, Filter{}); err != nil || len(es) != 2 {
			t.Errorf("certdb after cfssl's migration %d: %d entries, %v", done, len(es), err)
		}
		inv.Close()
	}
}

func BenchmarkRecord(b *testing.B) {
	ctx := context.Background()
	inv, err := Create(ctx, filepath.Join(b.TempDir(), "inventory.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer inv.Close()
	serial := int64(0)
	const batch = 1000
	for b.Loop() {
		es := make([]Entry, batch)
		for i := range es {
			serial++
			es[i] = entry(serial, "kvm")
			es[i].PEM = make([]byte, 800)
		}
		if err := inv.Record(ctx, es...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(batch*b.N), "ns/entry")
}
