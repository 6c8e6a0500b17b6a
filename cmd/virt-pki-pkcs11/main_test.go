package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/token"
)

// The calls themselves are tested against SoftHSM in package token.

func TestRequestsThatMakeNoSense(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"no JSON\n", "internal the request is no JSON"},
		{`{"op":"sign"}` + "\n", `internal "sign" makes no sense now`},
		{`{"op":"destroy"}` + "\n", `internal "destroy" makes no sense now`},
		{`{"op":"dance"}` + "\n", `internal "dance" makes no sense now`},
		{`{"op":"open","uri":"x"}` + "\n", "internal the URI: at character 1: it does not begin with pkcs11:"},
		{`{"op":"open","uri":"pkcs11:?module-path=/nonexistent"}` + "\n" + `{"op":"sign"}` + "\n",
			`no-module the PKCS#11 module "/nonexistent": no such file or directory` + "\n" + `internal "sign" makes no sense now`},
		{`{"op":"open"`, ""}, // the input ends
	} {
		var out, complaints bytes.Buffer
		if status := run(nil, strings.NewReader(c.in), &out, &complaints); status != 0 || complaints.Len() > 0 {
			t.Errorf("%q: status %d, %s", c.in, status, complaints.String())
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			var a token.Answer
			if err := json.Unmarshal([]byte(line), &a); err != nil || a.Error == nil {
				t.Fatalf("%q: %q (%v)", c.in, line, err)
			}
			got = append(got, string(a.Error.Code)+" "+a.Error.Message)
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%q:\ngot  %q\nwant %q", c.in, got, c.want)
		}
	}
	var complaints bytes.Buffer
	if status := run([]string{"--pin=1"}, strings.NewReader(""), &bytes.Buffer{}, &complaints); status != 2 ||
		complaints.String() != "virt-pki-pkcs11: error: it takes no arguments; virt-pki starts it\n" {
		t.Errorf("arguments: status %d, %s", status, complaints.String())
	}
}

func TestFieldsOfStructuresAreRead(t *testing.T) {
	if n := unnumber(number(0x01020304)); n != 0x01020304 {
		t.Errorf("%x", n)
	}
	if unnumber(nil) != ^uintptr(0) || unnumber([]byte{1}) != ^uintptr(0) {
		t.Error("no number is a number")
	}
	if got := padded([]byte("label  \x00 ")); got != "label" {
		t.Errorf("%q", got)
	}
	for flags, want := range map[uintptr]string{0: "", ckfPINCountLow: "; a wrong PIN was given before, and after some more it locks",
		ckfPINCountLow | ckfPINFinalTry: "; one try is left before it locks", ckfPINFinalTry | ckfPINLocked: "; the PIN is locked now"} {
		if got := triesLeft(flags); got != want {
			t.Errorf("%x: %q", flags, got)
		}
	}
	one := "x"
	other := uint64(7)
	info := tokenInfo{slot: 3, label: "x", serial: "1"}
	for _, c := range []struct {
		u    token.URI
		want bool
	}{{token.URI{}, true}, {token.URI{Token: &one}, true}, {token.URI{Serial: &one}, false}, {token.URI{SlotID: &other}, false},
		{token.URI{LibraryVersion: &one}, false}} {
		if info.fits(c.u) != c.want {
			t.Errorf("%+v: %v", c.u, !c.want)
		}
	}
}
