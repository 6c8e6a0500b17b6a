package main

import (
	"strings"
	"testing"
)

func TestNoCellIsAFormula(t *testing.T) {
	c := certificateView{Name: "=cmd|' /C calc'!A0", Layout: "@x", DN: "+1,CN=a", Names: []string{"-1"}, Files: []string{"=a.pem", "b.pem"}}
	var out strings.Builder
	if err := writeCSV(&out, []certificateView{c}); err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(out.String(), "\n")
	if want := `,'=cmd|' /C calc'!A0,,'@x,"'+1,CN=a",'-1,,,,,,'=a.pem b.pem` + "\n"; row != want {
		t.Errorf("list:   %swant:   %s", row, want)
	}
	e := endingView{Kind: "certificate", Name: "\t=1", DN: "CN=a", Days: -3, Files: []string{"-x"}, Then: "=1"}
	out.Reset()
	if err := endingsCSV(&out, []endingView{e}); err != nil {
		t.Fatal(err)
	}
	_, row, _ = strings.Cut(out.String(), "\n")
	if want := "certificate,'\t=1,,,,CN=a,0001-01-01T00:00:00Z,0001-01-01T00:00:00Z,-3,,,'-x,'=1\n"; row != want {
		t.Errorf("expiry: %swant:   %s", row, want)
	}
}
