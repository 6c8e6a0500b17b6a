package main

import (
	"bytes"
	"os"
	"testing"
)

// TestThePageOfRulesIsUpToDate compares docs/rules.md with the rules; "go test ./cmd/virt-pki -run Rules -update" rewrites it.
func TestThePageOfRulesIsUpToDate(t *testing.T) {
	const page = "../../docs/rules.md"
	cat, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := writeRulesPage(&want, cat.Rules()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the rules say; run: go test ./cmd/virt-pki -run Rules -update", page)
	}
}
