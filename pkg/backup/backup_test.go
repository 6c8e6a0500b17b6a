package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// quick costs nothing.
var quick = Seal{Passphrase: []byte("correct horse"), WorkFactor: 2}

func sealed(t testing.TB, s Seal, entries ...string) (*Writer, []byte) {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, s, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if err := w.Add(fmt.Sprintf("dir/%d", i), []byte(e)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w, out.Bytes()
}

func unsealed(text []byte, k Key) ([]string, error) {
	r, err := NewReader(bytes.NewReader(text), k)
	if err != nil {
		return nil, err
	}
	var out []string
	for {
		_, data, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(data))
	}
}

func identity(t testing.TB) (recipient string, key Key) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), Key{Identities: []byte("# a comment\n" + id.String() + "\n")}
}

func TestWhatIsSealedIsOpenedByItsKeyAlone(t *testing.T) {
	large := strings.Repeat("0123456789", 30_000) // several of age's chunks
	recipient, key := identity(t)
	_, other := identity(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	passphrase := Key{Passphrase: quick.Passphrase}
	for _, tt := range []struct {
		name string
		seal Seal
		key  Key
		want error
	}{
		{"a passphrase", quick, passphrase, nil},
		{"another passphrase", quick, Key{Passphrase: []byte("x")}, ErrPassphrase},
		{"a passphrase and an identity too many", quick, Key{Passphrase: quick.Passphrase, Identities: key.Identities}, nil},
		{"an identity for a passphrase", quick, key, ErrPassphraseNeeded},
		{"nothing for a passphrase", quick, Key{}, ErrPassphraseNeeded},
		{"a recipient", Seal{Recipients: []string{recipient}}, key, nil},
		{"two recipients, the second's identity", Seal{Recipients: []string{mustRecipient(t), recipient}}, key, nil},
		{"another's identity", Seal{Recipients: []string{recipient}}, other, ErrIdentity},
		{"a passphrase for a recipient", Seal{Recipients: []string{recipient}}, passphrase, ErrIdentityNeeded},
		{"nothing for a recipient", Seal{Recipients: []string{recipient}}, Key{}, ErrIdentityNeeded},
		{"a post-quantum recipient", Seal{Recipients: []string{hybrid.Recipient().String()}}, Key{Identities: []byte(hybrid.String())}, nil},
	} {
		w, text := sealed(t, tt.seal, "a", "", large)
		if bytes.Contains(text, []byte("0123456789")) {
			t.Errorf("%s: the text is open", tt.name)
		}
		got, err := unsealed(text, tt.key)
		if !errors.Is(err, tt.want) || err == nil && strings.Join(got, ",") != "a,,"+large {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := w.Check(bytes.NewReader(text)); err != nil { // without the recipient's identity
			t.Errorf("%s: reading back: %v", tt.name, err)
		}
	}
}

func mustRecipient(t testing.TB) string {
	r, _ := identity(t)
	return r
}

func TestCheckFindsEveryDifference(t *testing.T) {
	w, _ := sealed(t, quick, "a", "b")
	for _, tt := range []struct {
		name    string
		entries []string
		want    string
	}{
		{"another content", []string{"a", "c"}, `the backup is damaged: read back, "dir/1" is not what was written`},
		{"one too few", []string{"a"}, "the backup is damaged: read back, it has 1 of 2 entries"},
		{"one too many", []string{"a", "b", "c"}, `the backup is damaged: read back, "dir/2" is not what was written`},
	} {
		_, text := sealed(t, quick, tt.entries...)
		if err := w.Check(bytes.NewReader(text)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestNothingOpenIsWritten(t *testing.T) {
	for _, tt := range []struct {
		name string
		seal Seal
		want string
	}{
		{"no key", Seal{}, "a backup needs a passphrase or recipients"},
		{"both", Seal{Passphrase: []byte("x"), Recipients: []string{mustRecipient(t)}}, "a passphrase excludes recipients"},
		{"a cost that nobody could pay", Seal{Passphrase: []byte("x"), WorkFactor: 30}, "work factor 30 is not from 1 to 20"},
		{"a recipient that is none", Seal{Recipients: []string{"ssh-ed25519 AAAA"}}, "a recipient: error at line 1: unknown recipient type"},
	} {
		var out bytes.Buffer
		if _, err := NewWriter(&out, tt.seal, now); err == nil || !strings.HasPrefix(err.Error(), tt.want) || out.Len() > 0 {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestNamesLeadNowhere(t *testing.T) {
	w, err := NewWriter(io.Discard, quick, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "/x", "../x", "a/../../x", "a//b", "./a", "a/", "a\x00b", "a\nb", `a\b`, "\xff", strings.Repeat("x", 201)} {
		if err := w.Add(name, nil); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := errors.Join(w.Add("a/b", nil), w.Add("..a", nil)); err != nil {
		t.Error(err)
	}
	if err := w.Add("a/b", nil); err == nil || err.Error() != `"a/b" is in the backup already` {
		t.Errorf("%v", err)
	}
}

// A backup can have gone through a mail programme.
func TestAnArmoredBackupIsRead(t *testing.T) {
	_, text := sealed(t, quick, "a", "b")
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := unsealed(out.Bytes(), Key{Passphrase: quick.Passphrase}); err != nil || strings.Join(got, ",") != "a,b" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	_, text := sealed(t, quick, "a", strings.Repeat("x", 200<<10))
	key := Key{Passphrase: quick.Passphrase}
	for n := 0; n < len(text); n += 1 + n/40 {
		var damaged *DamagedError
		if _, err := unsealed(text[:n], key); !errors.As(err, &damaged) && !errors.Is(err, ErrNoBackup) {
			t.Errorf("cut off at %d of %d: %v", n, len(text), err)
		}
	}
	for _, more := range []string{"\x00", "age", strings.Repeat("x", 100<<10)} {
		var damaged *DamagedError
		if _, err := unsealed(append(bytes.Clone(text), more...), key); !errors.As(err, &damaged) {
			t.Errorf("%d octets more: %v", len(more), err)
		}
	}
	if _, err := unsealed(text, key); err != nil {
		t.Error(err)
	}
}

// An error of the disk is not one of the backup.
func TestAnErrorOfTheDiskIsSaid(t *testing.T) {
	_, text := sealed(t, quick, strings.Repeat("x", 200<<10))
	disk := &timeout{}
	r, err := NewReader(io.MultiReader(bytes.NewReader(text[:100<<10]), disk), Key{Passphrase: quick.Passphrase})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Next(); !errors.Is(err, disk) {
		t.Errorf("%v", err)
	}
}

type timeout struct{}

func (t *timeout) Read([]byte) (int, error) { return 0, t }
func (*timeout) Error() string              { return "input/output error" }
func (*timeout) Timeout() bool              { return false }

// FuzzReader gives the reader both what is no age file and, sealed, what is no archive.
func FuzzReader(f *testing.F) {
	_, text := sealed(f, Seal{Passphrase: quick.Passphrase, WorkFactor: 1}, "a", "b")
	f.Add(text)
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\nAA\n--- AA\n"))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"))
	f.Add(make([]byte, 1024))
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range []tar.Header{{Name: "a", Size: 1, Typeflag: tar.TypeReg}, {Name: "../b", Size: 1, Typeflag: tar.TypeReg}, {Name: "c", Typeflag: tar.TypeDir}} {
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		key := Key{Passphrase: quick.Passphrase, maxWork: 2}
		_, _ = unsealed(text, key)
		// The same as what is within: what who can encrypt makes.
		r := &Reader{plain: bytes.NewReader(text), seen: map[string]bool{}}
		r.tar = tar.NewReader(r.plain)
		total := 0
		for {
			name, data, err := r.Next()
			if err != nil {
				if _, _, again := r.Next(); err == io.EOF && again != io.EOF {
					t.Errorf("after the end: %v", again)
				}
				return
			}
			if total += len(data); !goodName(name) || total > len(text) {
				t.Fatalf("%q, %d octets of %d", name, total, len(text))
			}
		}
	})
}
