package ca

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// quick is a seal that costs nothing.
var quick = backup.Seal{Passphrase: []byte("correct horse"), WorkFactor: 2}

// livedIn is an authority with two certificates, one of them revoked, and two lists.
func livedIn(t testing.TB) *Authority {
	t.Helper()
	ctx := context.Background()
	a := listAuthority(t)
	issueClient(t, a, "alice")
	bob := issueClient(t, a, "bob")
	if err := a.Inventory().Revoke(ctx, bob.Entry.Key, listTime, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := a.MakeList(ctx, listTime, 0); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func export(t testing.TB, a *Authority, e Export) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authority.age")
	e.Now = listTime
	if _, err := a.Export(context.Background(), file, e); err != nil {
		t.Fatal(err)
	}
	return file
}

func restore(t testing.TB, file, dir string, im Import) (Restored, error) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Restore(context.Background(), dir, f, im)
}

// contents gives the files of a directory, with their modes, but for the inventory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == inventoryFile {
			return err
		}
		text, err := os.ReadFile(name)
		info, err2 := d.Info()
		rel, err3 := filepath.Rel(dir, name)
		out[rel] = info.Mode().String() + "\n" + string(text)
		return errors.Join(err, err2, err3)
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestARestoredAuthorityIsTheSame(t *testing.T) {
	ctx := context.Background()
	a := livedIn(t)
	// Other files of the directory are the authority's, too; what a killed process left is not.
	for name, text := range map[string]string{"stages/rotation.json": "{}\n", ".cacrl.pem.virt-pki-tmp-0123456789abcdef": "x"} {
		path := filepath.Join(a.Dir(), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(a.Dir(), "auth.key"), []byte("00112233445566778899aabbccddeeff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "authority.age")
	made, err := a.Export(ctx, file, Export{Seal: quick, Now: listTime, Cluster: []byte("# a cluster\n")})
	if err != nil {
		t.Fatal(err)
	}
	want := Backup{Made: listTime, Authority: a.ID(), Subject: "O=Acme,CN=Acme CA", Fingerprint: a.Fingerprint(), Key: KeyPlain,
		Files: []string{"auth.key", "authority.json", "cacert.pem", "cacrl.pem", "private/cakey.pem", "stages/rotation.json"}, Cluster: []byte("# a cluster\n"),
		Certificates: 2, Revoked: 1, LastList: big.NewInt(2)}
	same := cmp.Comparer(func(a, b *big.Int) bool { return a == b || a != nil && b != nil && a.Cmp(b) == 0 })
	if d := cmp.Diff(want, made, same); d != "" {
		t.Error(d)
	}
	text, err := os.ReadFile(file)
	info, err2 := os.Stat(file)
	if err != nil || err2 != nil || info.Mode().Perm() != 0o600 || bytes.Contains(text, []byte("Acme")) || bytes.Contains(text, []byte("PRIVATE")) {
		t.Errorf("%v, %v, mode %v", err, err2, info.Mode())
	}

	dir := filepath.Join(t.TempDir(), "new", "authority")
	got, err := restore(t, file, dir, Import{Key: backup.Key{Passphrase: quick.Passphrase}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Restored{want, 0, big.NewInt(1_000_003)}, got, same); d != "" {
		t.Error(d)
	}
	was := contents(t, a.Dir())
	delete(was, ".cacrl.pem.virt-pki-tmp-0123456789abcdef")
	if d := cmp.Diff(was, contents(t, dir)); d != "" {
		t.Error(d)
	}
	b, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	before, err := a.Inventory().List(ctx, inventory.Filter{})
	after, err2 := b.Inventory().List(ctx, inventory.Filter{})
	if d := cmp.Diff(before, after); d != "" || err != nil || err2 != nil {
		t.Error(d, err, err2)
	}
	// It goes on, with numbers that nobody has seen.
	if err := b.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	issueClient(t, b, "carol")
	for i := range 2 {
		list, err := b.MakeList(ctx, listTime.Add(time.Hour), 0)
		if err != nil || list.Number.Int64() != 1_000_003+int64(i) || list.Len() != 1 {
			t.Errorf("%v, number %v", err, list.Number)
		}
	}
}

func TestABackupOfALockedAuthorityNeedsNoKey(t *testing.T) {
	ctx := context.Background()
	subject, err := dn.Parse("CN=Acme CA")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Create(ctx, filepath.Join(t.TempDir(), "authority"), Spec{Subject: subject, Now: listTime, Passphrase: []byte("secret")})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if a, err = Open(ctx, a.Dir()); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	dir := filepath.Join(t.TempDir(), "authority")
	got, err := restore(t, export(t, a, Export{Seal: quick}), dir, Import{Key: backup.Key{Passphrase: quick.Passphrase}})
	if err != nil || got.Key != KeyEncrypted || got.Certificates != 0 || got.LastList != nil || got.NextList.Int64() != 1_000_001 {
		t.Fatalf("%+v, %v", got, err)
	}
	b, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Unlock([]byte("secret")); err != nil {
		t.Error(err)
	}
}

func TestExportRefuses(t *testing.T) {
	ctx := context.Background()
	a := livedIn(t)
	there := export(t, a, Export{Seal: quick})
	old, err := os.ReadFile(there)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(filepath.Dir(there), "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file string
		seal       backup.Seal
		want       string
	}{
		{"a file that is there", there, quick, `exporting the authority: open "` + there + `": file already exists`},
		{"a symbolic link", link, quick, `exporting the authority: open "` + link + `": it is a symbolic link`},
		{"a directory that is not there", "/nowhere/x", quick, `exporting the authority: open "/nowhere": no such file or directory`},
		{"no passphrase", there + "2", backup.Seal{}, `exporting the authority: write "` + there + `2": a backup needs a passphrase or recipients`},
		{"no recipient", there + "2", backup.Seal{Recipients: []string{"age1nobody"}},
			`exporting the authority: write "` + there + `2": a recipient: error at line 1: malformed recipient "age1nobody"`},
	} {
		_, err := a.Export(ctx, tt.file, Export{Seal: tt.seal, Now: listTime})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	now, err := os.ReadFile(there)
	entries, err2 := os.ReadDir(filepath.Dir(there))
	if err != nil || err2 != nil || !bytes.Equal(old, now) || len(entries) != 2 {
		t.Errorf("%v, %v, %v", err, err2, entries)
	}
}

// A backup that is cut off or changed anywhere gives a clear error and leaves nothing.
func TestADamagedBackupIsNotImported(t *testing.T) {
	file := export(t, livedIn(t), Export{Seal: quick})
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	try := func(what string, text []byte, want ...error) {
		t.Helper()
		_, err := Restore(context.Background(), filepath.Join(above, "authority"), bytes.NewReader(text), Import{Key: backup.Key{Passphrase: quick.Passphrase}})
		var damaged *backup.DamagedError
		if !errors.As(err, &damaged) && !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
			t.Errorf("%s: %v", what, err)
		}
		if entries, err := os.ReadDir(above); err != nil || len(entries) > 0 {
			t.Fatalf("%s: left: %v, %v", what, entries, err)
		}
	}
	step := max(len(whole)/97, 1)
	for n := 0; n < len(whole); n += step {
		try(fmt.Sprintf("cut off at %d of %d", n, len(whole)), whole[:n], backup.ErrNoBackup)
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		try(fmt.Sprintf("changed at %d of %d", n, len(whole)), changed, backup.ErrNoBackup, backup.ErrPassphrase, backup.ErrIdentityNeeded)
	}
	try("one octet missing", whole[:len(whole)-1])
	try("one octet more", append(bytes.Clone(whole), 0))
}

func TestImportRefuses(t *testing.T) {
	file := export(t, livedIn(t), Export{Seal: quick})
	key := backup.Key{Passphrase: quick.Passphrase}
	other := listAuthority(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file, dir string
		key             backup.Key
		want            error
		message         string
	}{
		{"the wrong passphrase", file, "", backup.Key{Passphrase: []byte("wrong")}, backup.ErrPassphrase, "importing the authority: the passphrase is wrong"},
		{"no passphrase", file, "", backup.Key{}, backup.ErrPassphraseNeeded, "importing the authority: the backup is encrypted with a passphrase"},
		{"another authority's directory", file, other.Dir(), key, ErrExists, `importing the authority: "` + other.Dir() + `": the directory is not empty`},
		{"something else", text, "", key, backup.ErrNoBackup, "importing the authority: this is no backup of virt-pki"},
	} {
		dir := tt.dir
		if dir == "" {
			dir = filepath.Join(t.TempDir(), "authority")
		}
		_, err := restore(t, tt.file, dir, Import{Key: tt.key})
		if !errors.Is(err, tt.want) || err.Error() != tt.message {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.dir == "" {
			if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) > 0 {
				t.Errorf("%s: left: %v, %v", tt.name, entries, err)
			}
		}
	}
	if _, err := other.Inventory().List(context.Background(), inventory.Filter{}); err != nil {
		t.Errorf("the authority that was there: %v", err)
	}
}

// remade writes a backup with other entries in it: what somebody can make who has the passphrase, or a recipient.
func remade(t testing.TB, file string, change func(name string, text []byte) (string, []byte, bool)) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := backup.NewReader(f, backup.Key{Passphrase: quick.Passphrase})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, quick, listTime)
	if err != nil {
		t.Fatal(err)
	}
	for {
		name, text, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, text, keep := change(name, text)
		if !keep {
			continue
		}
		if err := w.Add(name, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestABackupThatIsNoAuthorityIsNotImported(t *testing.T) {
	file := export(t, livedIn(t), Export{Seal: quick})
	other, err := os.ReadFile(filepath.Join(listAuthority(t).Dir(), keyFile))
	if err != nil {
		t.Fatal(err)
	}
	without := func(entry string) func(string, []byte) (string, []byte, bool) {
		return func(name string, text []byte) (string, []byte, bool) {
			return name, text, !strings.HasPrefix(name, entry)
		}
	}
	replaced := func(entry, old, new string) func(string, []byte) (string, []byte, bool) {
		return func(name string, text []byte) (string, []byte, bool) {
			if strings.HasPrefix(name, entry) {
				return name, bytes.Replace(text, []byte(old), []byte(new), 1), true
			}
			return name, text, true
		}
	}
	for _, tt := range []struct {
		name   string
		change func(string, []byte) (string, []byte, bool)
		want   string
	}{
		{"no head", without(entryHead), "this is no backup of virt-pki"},
		{"no end", without(entryEnd), `the backup's "end.json": it is missing`},
		{"no certificate", without("authority/cacert.pem"), `the backup's "authority/cacert.pem": it is missing`},
		{"no policy", without("authority/authority.json"), `the backup's "authority/authority.json": it is missing`},
		{"no key", without("authority/private"), `the backup's "authority/private/cakey.pem": it is elsewhere, and backup.json says plain`},
		{"no inventory", without(entryInventory), `the backup's "end.json": it counts 4 files and 2 certificates, 1 of them revoked; there are 4, 0 and 0`},
		{"a newer schema", replaced(entryHead, `"schema": 1`, `"schema": 2`), `the backup's "backup.json": schema 2; this program knows schema 1`},
		{"another's key", func(name string, text []byte) (string, []byte, bool) {
			if strings.HasSuffix(name, "cakey.pem") {
				text = other
			}
			return name, text, true
		}, `the backup's "authority/private/cakey.pem": the private key does not belong to the CA certificate`},
		{"an inventory in another way", func(name string, text []byte) (string, []byte, bool) {
			return strings.Replace(name, "cacrl.pem", "inventory.url", 1), text, true
		}, `the backup's "authority/inventory.url": it is not kept in this way`},
		{"a hidden directory", func(name string, text []byte) (string, []byte, bool) {
			return strings.Replace(name, "authority/cacrl.pem", "authority/.ssh/authorized_keys", 1), text, true
		}, `the backup's "authority/.ssh/authorized_keys": a hidden directory is none of an authority's`},
		{"an unknown entry", func(name string, text []byte) (string, []byte, bool) {
			return strings.Replace(name, "inventory/", "other/", 1), text, true
		}, `the backup's "other/000000.jsonl": it is not known`},
		{"an unknown field", replaced(entryInventory, `{"certificate":`, `{"x":1,"certificate":`), `line 1 of the inventory: json: unknown field "x"`},
		{"an unknown state", replaced(entryInventory, `"state":"issued"`, `"state":"lost"`), `state "lost" is unknown`},
	} {
		dir := filepath.Join(t.TempDir(), "authority")
		text := remade(t, file, tt.change)
		key := backup.Key{Passphrase: quick.Passphrase}
		_, err := Restore(context.Background(), dir, bytes.NewReader(text), Import{Key: key})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := ReadBackup(context.Background(), bytes.NewReader(text), key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, only read: %v", tt.name, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) > 0 {
			t.Errorf("%s: left: %v, %v", tt.name, entries, err)
		}
	}
}

// Nothing of a backup is on disk unencrypted at any moment but the files in their stage, with their modes.
func TestExportWritesNothingButTheBackup(t *testing.T) {
	a := livedIn(t)
	top := t.TempDir()
	file := filepath.Join(top, "authority.age")
	steps := 0
	if _, err := a.Export(context.Background(), file, Export{Seal: quick, Now: listTime, Step: func(step string) {
		steps++
		for name, text := range contents(t, top) {
			if strings.Contains(text, "PRIVATE") || strings.Contains(text, "Acme") || !strings.HasPrefix(text, "-rw-------") {
				t.Errorf("before %s: %s: %q", step, name, text[:40])
			}
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if steps < 5 {
		t.Errorf("only %d steps", steps)
	}
}

func TestABackupMovesBetweenSQLiteAndPostgreSQL(t *testing.T) {
	ctx := context.Background()
	a := livedIn(t)
	source := peer.StartPostgreSQL(t).Database(t, "inventory")
	key := backup.Key{Passphrase: quick.Passphrase}
	file := export(t, a, Export{Seal: quick})
	dir := filepath.Join(t.TempDir(), "authority")
	if _, err := restore(t, file, dir, Import{Key: key, Inventory: source}); err != nil {
		t.Fatal(err)
	}
	b, err := Open(ctx, dir) // which says where its inventory is
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !inventory.IsPostgres(b.Inventory().Path()) {
		t.Errorf("the inventory is in %s", b.Inventory().Path())
	}
	// The directory is lost, the database is not: it goes on with what it knows, and with higher numbers.
	if err := b.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	issueClient(t, b, "carol")
	if list, err := b.MakeList(ctx, listTime.Add(time.Hour), 0); err != nil || list.Number.Int64() != 1_000_003 {
		t.Fatalf("%v, %v", list.Number, err)
	}
	again := filepath.Join(t.TempDir(), "authority")
	got, err := restore(t, file, again, Import{Key: key, Inventory: source})
	if err != nil || got.Known != 2 || got.NextList.Int64() != 2_000_004 {
		t.Errorf("%+v, %v", got, err)
	}
	c, err := Open(ctx, again)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// And back into a file.
	last := filepath.Join(t.TempDir(), "authority")
	if _, err := restore(t, export(t, c, Export{Seal: quick}), last, Import{Key: key}); err != nil {
		t.Fatal(err)
	}
	d, err := Open(ctx, last)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want, err := b.Inventory().List(ctx, inventory.Filter{})
	have, err2 := d.Inventory().List(ctx, inventory.Filter{})
	if diff := cmp.Diff(want, have); diff != "" || err != nil || err2 != nil || len(have) != 3 {
		t.Error(diff, err, err2)
	}
}

// The formats are others', so others' programs read them.
func TestAgeAndTarReadABackup(t *testing.T) {
	peer.Need(t, "age", "age-keygen", "tar")
	dir := t.TempDir()
	identity := filepath.Join(dir, "key.txt")
	out, err := exec.Command("age-keygen", "-o", identity).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, recipient, _ := strings.Cut(strings.TrimSpace(string(out)), ": ")
	file := export(t, livedIn(t), Export{Seal: backup.Seal{Recipients: []string{recipient}}})
	list, err := exec.Command("sh", "-c", "age -d -i "+identity+" "+file+" | tar -t").CombinedOutput()
	want := "backup.json\nauthority/authority.json\nauthority/cacert.pem\nauthority/cacrl.pem\nauthority/private/cakey.pem\ninventory/000000.jsonl\nend.json\n"
	if err != nil || string(list) != want {
		t.Errorf("%v: %s", err, list)
	}
}

// listed are entries in memory.
type listed struct {
	names []string
	texts [][]byte
}

func (l *listed) Next() (string, []byte, error) {
	if len(l.names) == 0 {
		return "", nil, io.EOF
	}
	name, text := l.names[0], bytes.Clone(l.texts[0])
	l.names, l.texts = l.names[1:], l.texts[1:]
	return name, text, nil
}

// FuzzBackup changes one entry of a backup, or adds one: what who can encrypt makes.
func FuzzBackup(f *testing.F) {
	ctx := context.Background()
	var whole listed
	remade(f, export(f, livedIn(f), Export{Seal: quick}), func(name string, text []byte) (string, []byte, bool) {
		whole.names, whole.texts = append(whole.names, name), append(whole.texts, bytes.Clone(text))
		return name, text, true
	})
	for i, n := range whole.names {
		f.Add(n, whole.texts[i])
	}
	f.Add("authority/x", []byte("x"))
	f.Add("inventory/000000.jsonl", []byte(`{"list":{"authority":"","number":"1","this_update":1,"next_update":1}}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		changed, found := listed{slices.Clone(whole.names), slices.Clone(whole.texts)}, false
		for i, n := range changed.names {
			if n == name {
				changed.texts[i], found = text, true
			}
		}
		if !found {
			changed.names, changed.texts = slices.Insert(changed.names, 1, name), slices.Insert(changed.texts, 1, text)
		}
		b, err := readBackup(ctx, &changed)
		if err == nil && (b.Subject != "O=Acme,CN=Acme CA" || b.Certificates < b.Revoked) {
			t.Errorf("%+v", b)
		}
	})
}
