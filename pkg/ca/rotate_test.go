package ca

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/backup"
)

func TestABackupIsRestoredInEveryStageOfARotation(t *testing.T) {
	ctx := context.Background()
	a := livedIn(t)
	if err := a.BeginRotation(ctx, Successor{Now: listTime, Subject: name(t, "CN=two")}); err != nil {
		t.Fatal(err)
	}
	for _, stage := range RotationStages() {
		if err := a.SetRotation(stage, true, listTime, nil); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "restored")
		if _, err := restore(t, export(t, a, Export{Seal: quick}), dir, Import{Key: backup.Key{Passphrase: quick.Passphrase}}); err != nil {
			t.Errorf("%s: %v", stage, err)
			continue
		}
		b, err := Open(ctx, dir)
		if err != nil {
			t.Errorf("%s: %v", stage, err)
			continue
		}
		if r, ok := b.Rotation(); !ok || r.Stage != stage || b.ID() != a.ID() || b.Unlock(nil) != nil {
			t.Errorf("%s: %+v, issued by %s, not %s", stage, r, b.ID(), a.ID())
		}
		b.Close()
	}
}

func TestRotationJSONIsReadStrictly(t *testing.T) {
	good := `{"schema":1,"stage":"issue","done":true,"issuer":"next","old":"a","new":"b","begun":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}`
	if s, err := parseRotation([]byte(good)); err != nil || s.Stage != IssueNew || s.Issuer != inNext {
		t.Errorf("%+v, %v", s, err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"a newer schema", strings.Replace(good, `"schema":1`, `"schema":2`, 1), "schema 2 is unknown to this program, which knows 1"},
		{"an unknown stage", strings.Replace(good, "issue", "isue", 1), `no stage "isue": trust, issue, switch or prune`},
		{"an unknown issuer", strings.Replace(good, `"next"`, `"old"`, 1), `issuer "old" is neither "main" nor "next"`},
		{"an unknown field", strings.Replace(good, `"done"`, `"dome"`, 1), `json: unknown field "dome"`},
		{"more text", good + "{}", "text after the JSON object"},
		{"nothing", "", "EOF"},
	} {
		if _, err := parseRotation([]byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzParseRotation(f *testing.F) {
	f.Add(`{"schema":1,"stage":"trust","issuer":"main"}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseRotation([]byte(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			return // a year that JSON has no form for
		}
		if r, err := parseRotation(again); err != nil || *r != *s && !r.Begun.Equal(s.Begun) {
			t.Errorf("%+v, %v, not %+v", r, err, s)
		}
	})
}
