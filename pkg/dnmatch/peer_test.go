package dnmatch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// A pair is a pattern and a text, with what the real matchers say.
type pair struct {
	pattern, text string
	glib          string // 0, 1, or x when the process ended
	c, utf8       bool
}

// askPeers asks the real GLib and libc through Python's ctypes.
func askPeers(t *testing.T, pairs []pair) {
	t.Helper()
	peer.Need(t, "python3")
	if err := exec.Command("python3", "-c", `import ctypes; ctypes.CDLL("libglib-2.0.so.0"); ctypes.CDLL("libc.so.6")`).Run(); err != nil {
		if peer.Required() {
			t.Fatalf("libglib-2.0.so.0 and libc.so.6 cannot be loaded by python3: %v", err)
		}
		t.Skip("libglib-2.0.so.0 or libc.so.6 is not here")
	}
	var in strings.Builder
	for _, p := range pairs {
		fmt.Fprintf(&in, "%x %x\n", p.pattern, p.text)
	}
	cmd := exec.Command("python3", "testdata/peer.py")
	cmd.Stdin = strings.NewReader(in.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(pairs) {
		t.Fatalf("%d answers for %d questions", len(lines), len(pairs))
	}
	for i, line := range lines {
		a := strings.Fields(line)
		pairs[i].glib, pairs[i].c, pairs[i].utf8 = a[0], a[1] == "1", a[2] == "1"
	}
}

// compare holds our answers against the real ones.
func compare(t *testing.T, pairs []pair) {
	t.Helper()
	matches, aborted, wrong := 0, 0, 0
	for _, p := range pairs {
		pattern, err := Compile(p.pattern)
		if err != nil {
			t.Errorf("Compile(%q): %v", p.pattern, err)
			continue
		}
		var bad []string
		if !pattern.Overreads(p.text) {
			if got := pattern.Match(p.text); got != (p.glib == "1") {
				bad = append(bad, fmt.Sprintf("Match = %v, GLib %s", got, p.glib))
			}
			if got := pattern.Aborts(p.text); got != (p.glib == "x") {
				bad = append(bad, fmt.Sprintf("Aborts = %v, GLib %s", got, p.glib))
			}
		}
		if got := pattern.MatchFnmatchC(p.text); got != p.c {
			bad = append(bad, fmt.Sprintf("MatchFnmatchC = %v, glibc %v", got, p.c))
		}
		if got := pattern.MatchFnmatch(p.text); got != p.utf8 {
			bad = append(bad, fmt.Sprintf("MatchFnmatch = %v, glibc %v", got, p.utf8))
		}
		if len(bad) > 0 {
			if wrong++; wrong <= 25 {
				t.Errorf("pattern %q, text %q: %s", p.pattern, p.text, strings.Join(bad, "; "))
			}
		}
		if p.glib == "1" {
			matches++
		}
		if p.glib == "x" {
			aborted++
		}
	}
	t.Logf("%d pairs: %d differ, GLib matches %d and aborts on %d", len(pairs), wrong, matches, aborted)
	if matches == 0 {
		t.Error("nothing matched: the pairs prove nothing")
	}
}

func TestTheRealMatchersConfirmTheVectors(t *testing.T) {
	var pairs []pair
	for _, v := range vectors(t) {
		p, text := v.strings(t)
		pairs = append(pairs, pair{pattern: p, text: text})
	}
	askPeers(t, pairs)
	compare(t, pairs)
}

func TestTheRealMatchersAgreeOnRandomPairs(t *testing.T) {
	n, seed := 3000, uint64(1)
	if s := os.Getenv("VIRT_PKI_PAIRS"); s != "" { // more, and others, by hand
		n, _ = strconv.Atoi(s)
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, s := range []struct {
		name          string
		pattern, text []string
	}{
		{"dense", split("a b * ? * a"), split("a b a")},
		{"UTF-8", split("a é 中 😀 * ? , ="), split("a é 中 😀 , = x")},
		{"names", split("CN= O= * ? \\, , Lab admin GB C= . [ ] lab.test"), split("CN= O= \\, , Lab admin GB C= . [ lab.test")},
		{"special", split(`[ ] { } \ - ! ^ * ? a b , /`), split(`[ ] { } \ - ! ^ a b , /`)},
		{"brackets", append(split(`[ [ ] ! ^ - a b c é [a-c] [!a] [[:alpha:]] [[:digit:]] [: :] [. .] [= =] [.a.] [=b=] \ : . = * ? [a-`), "[[:foo:]]"),
			split(`[ ] ! - a b c é 1 : . = \`)},
		{"not UTF-8", split("a b \xc3 \xa9 é \xe2 \xff \xf0 * ? * ?"), split("a b \xc3 \xa9 é \xe2\x82 \xff \xf0")},
	} {
		t.Run(s.name, func(t *testing.T) {
			var pairs []pair
			n := n
			if s.name == "not UTF-8" {
				n /= 4 // each has a process of its own
			}
			for range n {
				p := pair{pattern: draw(r, s.pattern, 7), text: draw(r, s.text, 7)}
				if r.IntN(3) == 0 { // a text that has a chance: the pattern with its wildcards filled in
					p.text = strings.NewReplacer("*", draw(r, s.text, 3), "?", draw(r, s.text, 1)).Replace(p.pattern)
				}
				pairs = append(pairs, p)
			}
			askPeers(t, pairs)
			compare(t, pairs)
		})
	}
}

// TestClassesAgreeOnManyCharacters asks about each class and characters of all scripts.
func TestClassesAgreeOnManyCharacters(t *testing.T) {
	var pairs []pair
	for _, class := range split("alpha digit alnum upper lower xdigit blank space cntrl graph print punct") {
		for c := rune(1); c < 0x500; c++ {
			pairs = append(pairs, pair{pattern: "[[:" + class + ":]]", text: string(c)})
		}
		for c := rune(0x2000); c < 0x2100; c++ {
			pairs = append(pairs, pair{pattern: "[[:" + class + ":]]", text: string(c)})
		}
		for _, c := range "　中あア한١९ꓐＡａ０😀אبԱ" {
			pairs = append(pairs, pair{pattern: "[[:" + class + ":]]", text: string(c)})
		}
	}
	// GLib takes brackets literally and has to match something for compare.
	pairs = append(pairs, pair{pattern: "[[:alpha:]]", text: "[[:alpha:]]"})
	askPeers(t, pairs)
	compare(t, pairs)
}

func split(s string) []string { return strings.Split(s, " ") }

func draw(r *rand.Rand, from []string, most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(from[r.IntN(len(from))])
	}
	return b.String()
}
