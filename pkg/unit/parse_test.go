package unit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func TestUnitFilesAreReadAsSystemdReadsThem(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Entry
		problems   []string
	}{
		{name: "a section and an assignment", text: "[Socket]\nListenStream=16514\n", want: []Entry{{"Socket", "ListenStream", "16514", "u", 2}}},
		{name: "white space does not count", text: "  [Socket]  \n  ListenStream =  16514  \n", want: []Entry{{"Socket", "ListenStream", "16514", "u", 2}}},
		{name: "comments", text: "# a\n; b\n[S]\n#A=1\nA=1 # no comment\n", want: []Entry{{"S", "A", "1 # no comment", "u", 5}}},
		{name: "a line that goes on", text: "[S]\nA=a \\\n   b\nB=1\n", want: []Entry{{"S", "A", "a  b", "u", 2}, {"S", "B", "1", "u", 4}}},
		{name: "a comment in between", text: "[S]\nA=a \\\n# not there\n  b\n", want: []Entry{{"S", "A", "a  b", "u", 2}}},
		{name: "an escaped backslash ends the line", text: "[S]\nA=a\\\\\nB=1\n", want: []Entry{{"S", "A", `a\\`, "u", 2}, {"S", "B", "1", "u", 3}}},
		{name: "the end of the file ends it", text: "[S]\nA=a \\", want: []Entry{{"S", "A", "a", "u", 2}}},
		{name: "an empty assignment is one", text: "[S]\nA=\n", want: []Entry{{"S", "A", "", "u", 2}}},
		{name: "a mark of byte order", text: "\xef\xbb\xbf[S]\nA=1\n", want: []Entry{{"S", "A", "1", "u", 2}}},
		{name: "CRLF", text: "[S]\r\nA=1\r\nB=2\r\n", want: []Entry{{"S", "A", "1", "u", 2}, {"S", "B", "2", "u", 3}}},
		{name: "names differ by case", text: "[S]\na=1\n", want: []Entry{{"S", "a", "1", "u", 2}}},
		{name: "no section", text: "A=1\n", problems: []string{"1: the assignment stands in no section"}},
		{name: "no equals sign", text: "[S]\nA\n", problems: []string{"2: there is no ="}},
		{name: "no key", text: "[S]\n=1\n", problems: []string{"2: there is no key before ="}},
		{name: "a section that is not closed", text: "[S\nA=1\n[T]\nB=1\n", want: []Entry{{"T", "B", "1", "u", 4}},
			problems: []string{"1: the section's name does not end in ]", "2: the assignment stands in no section"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := Parse([]byte(c.text), "u")
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			var texts []string
			for _, p := range problems {
				texts = append(texts, string('0'+rune(p.Line))+": "+p.Text)
			}
			if d := cmp.Diff(c.problems, texts); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWordsAreCutAsSystemdCutsThem(t *testing.T) {
	strict := quoting{unescape: true}
	for _, c := range []struct {
		text  string
		q     quoting
		words []string
		err   string
	}{
		{text: `a  b	c`, q: strict, words: []string{"a", "b", "c"}},
		{text: `"a b" 'c d'`, q: strict, words: []string{"a b", "c d"}},
		{text: `a"b c"d`, q: strict, words: []string{"ab cd"}},
		{text: `"" ''`, q: strict, words: []string{"", ""}},
		{text: `a\x41\n\s\101\u00e9`, q: strict, words: []string{"aA\n Aé"}},
		{text: `'a\'b'`, q: strict, words: []string{"a'b"}},
		{text: `a\qb`, q: strict, err: `the escape sequence "\\q" is unknown`},
		{text: `"a`, q: strict, err: `the quote " is not closed`},
		{text: `a\`, q: strict, err: "a backslash at the end escapes nothing"},
		{text: `a\x00`, q: strict, err: `the escape sequence "\\x" is unknown`},
		{text: `"a b`, q: quoting{relaxed: true}, words: []string{"a b"}},
		{text: `a\nb\`, q: quoting{relaxed: true}, words: []string{`anb`}},
	} {
		got, err := words(c.text, c.q)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if d := cmp.Diff(c.words, got); d != "" || text != c.err {
			t.Errorf("%s: %v, %q\n%s", c.text, got, text, d)
		}
	}
}

func TestEnvironmentFiles(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a value", "A=b\n", "1 A=b"},
		{"white space at its ends", "  A =  b c  \n", "1 A=b c"},
		{"comments", "#A=1\n;A=2\n  # A=3\nA=4#5\n", "4 A=4#5"},
		{"quotes", "A=\"--listen --timeout 5\"\nB='x \"y\" \\'\n", "1 A=--listen --timeout 5|2 B=x \"y\" \\"},
		{"escapes in double quotes", `A="a\"b\$c\nd"` + "\n", `1 A=a"b$c\nd`},
		{"a backslash without quotes", `A=a\ b\"c` + "\n", `1 A=a b"c`},
		{"a value over two lines", "A=a\\\nb\nB=1\n", "1 A=ab|3 B=1"},
		{"a quoted value over two lines", "A=\"a\nb\"\nB=1\n", "1 A=a\nb|3 B=1"},
		{"quotes inside a bare value are characters", `A=a"b c"` + "\n", `1 A=a"b c"`},
		{"quoted parts are joined", `A="a" 'b' c` + "\n", "1 A=abc"},
		{"export is no part of the grammar", "export A=1\nB=2\n", "2 B=2"},
		{"a line without an equals sign", "A\nB=2\n", "2 B=2"},
		{"an empty value", "A=\nB=2\n", "1 A=|2 B=2"},
		{"no newline at the end", "A=b  ", "1 A=b"},
		{"a name that is none", "1A=x\nA-B=x\n_A1=y\n", "3 _A1=y"},
	} {
		var got []string
		for _, a := range ParseEnvironment([]byte(c.text), "e") {
			got = append(got, string('0'+rune(a.Line))+" "+a.Name+"="+a.Value)
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: %q, not %q", c.name, s, c.want)
		}
	}
}

// TestTheInstalledUnitsAreReadWithoutAProblem reads every unit file of this machine.
func TestTheInstalledUnitsAreReadWithoutAProblem(t *testing.T) {
	files, _ := filepath.Glob("/usr/lib/systemd/system/*.*")
	read := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		read++
		if _, problems := Parse(b, name); len(problems) > 0 {
			t.Errorf("%s: %+v", name, problems)
		}
	}
	if read == 0 {
		if peer.Required() {
			t.Fatal("there are no unit files here")
		}
		t.Skip("there are no unit files here")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"[Socket]\nListenStream=16514\n", "[S]\nA=a \\\n#c\n b\n", "[Service]\nExecStart=/x \"a b\" ${A} $$ ;\nEnvironment=A=1 'B=2 3'\n",
		"A=\"b\\\"c\n\"x\\\n", "Id=a\nActiveState=active\n\n", "[S", "\xef\xbb\xbf[S]\r\nA=\\x41\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, _ := Parse(b, "u")
		for _, e := range entries {
			if e.Key == "" || e.Section == "" && e.Line < 1 {
				t.Errorf("%+v", e)
			}
			words(e.Value, quoting{unescape: true})
			words(e.Value, quoting{relaxed: true})
		}
		for _, a := range ParseEnvironment(b, "e") {
			if !validName(a.Name) || len(a.Value) > len(b) {
				t.Errorf("%+v", a)
			}
		}
		for _, r := range ParseShow(b) {
			if r.Name == "" {
				t.Errorf("%+v", r)
			}
		}
		if w, err := words(string(b), quoting{relaxed: true}); err == nil {
			ParseArguments("libvirtd", "/usr/sbin/libvirtd", w)
		}
		// What is written as one assignment is read as one.
		if s := strings.Trim(string(b), whitespace); s != "" && !strings.ContainsAny(s, "\n\r\x00\\") {
			if got, _ := Parse([]byte("[S]\nA="+s+"\n"), "u"); len(got) != 1 || got[0].Value != s {
				t.Errorf("%q is read as %+v", s, got)
			}
		}
	})
}
