package vectors

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachLineIsACase(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("{\"n\":1}\n{\"n\":2}"))
	z.Close()
	file := filepath.Join(t.TempDir(), "cases.jsonl.gz")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{`{"n":1}`, `{"n":2}`}, Lines(t, file)); d != "" {
		t.Error(d)
	}
	type record struct{ N int }
	if d := cmp.Diff([]record{{1}, {2}}, JSON[record](t, file)); d != "" {
		t.Error(d)
	}
}

func TestHexIgnoresWhiteSpace(t *testing.T) {
	if got := Hex(t, "30 03\n\t0201ff"); !bytes.Equal(got, []byte{0x30, 3, 2, 1, 0xff}) {
		t.Errorf("%x", got)
	}
}
