package dnmatch

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// A vector is one line of testdata/glob.jsonl; its README says where they come from.
type vector struct {
	ID      string  `json:"id"`
	Pattern *string `json:"p"`
	Text    *string `json:"t"`
	PHex    string  `json:"p_hex"`
	THex    string  `json:"t_hex"`
	G       *int    `json:"g"`
	Note    string  `json:"note"`
	F       int     `json:"f"`
	U       *int    `json:"u"`
}

func (v vector) strings(t testing.TB) (pattern, text string) {
	t.Helper()
	pick := func(s *string, h string) string {
		if s != nil {
			return *s
		}
		b, err := hex.DecodeString(h)
		if err != nil {
			t.Fatalf("%s: %v", v.ID, err)
		}
		return string(b)
	}
	return pick(v.Pattern, v.PHex), pick(v.Text, v.THex)
}

func vectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open("testdata/glob.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var vs []vector
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var v vector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestAllVectorsAgree(t *testing.T) {
	vs := vectors(t)
	if len(vs) != 400 {
		t.Errorf("%d vectors, 400 expected", len(vs))
	}
	for _, v := range vs {
		pattern, text := v.strings(t)
		p, err := Compile(pattern)
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		wantG := v.G != nil && *v.G == 1
		if got := p.Match(text); got != wantG {
			t.Errorf("%s: Match(%q, %q) = %v, GLib says %v", v.ID, pattern, text, got, wantG)
		}
		if got, want := p.Aborts(text), v.Note == "abort"; got != want {
			t.Errorf("%s: Aborts(%q, %q) = %v, want %v", v.ID, pattern, text, got, want)
		}
		if got, want := p.Overreads(text), v.Note == "overread"; got != want {
			t.Errorf("%s: Overreads(%q, %q) = %v, want %v", v.ID, pattern, text, got, want)
		}
		if got := p.MatchFnmatchC(text); got != (v.F == 1) {
			t.Errorf("%s: MatchFnmatchC(%q, %q) = %v, glibc says %v", v.ID, pattern, text, got, v.F)
		}
		u := v.F
		if v.U != nil {
			u = *v.U
		}
		if got := p.MatchFnmatch(text); got != (u == 1) {
			t.Errorf("%s: MatchFnmatch(%q, %q) = %v, glibc says %v", v.ID, pattern, text, got, u)
		}
	}
}
