package conf

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSetChangesOneSettingAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name, src, key string
		value          NewValue
		want           string
	}{
		{"a number", "# top\nlisten_tls = 0 # off\nb = 1\n", "listen_tls", true, "# top\nlisten_tls = 1 # off\nb = 1\n"},
		{"a string keeps its quotes", "a='x'\n", "a", "y", "a='y'\n"},
		{"a string takes other quotes when it must", "a='x'\n", "a", "y'z", "a=\"y'z\"\n"},
		{"both quotes", "a = 1\n", "a", `x"y'z`, "a = \"\"\"x\"y'z\"\"\"\n"},
		{"the first of duplicates", "a=1\na=2\n", "a", 3, "a=3\na=2\n"},
		{"a new setting at the end", "a=1", "b", "x", "a=1\nb=\"x\"\n"},
		{"a new setting in an empty file", "", "b", int64(5), "b = 5\n"},
		{"a new setting behind the comment that shows it", "# Port.\n#tls_port = \"16514\"\n\n# Other.\n#tcp_port = \"1\"\n", "tls_port", "1",
			"# Port.\n#tls_port = \"16514\"\ntls_port = \"1\"\n\n# Other.\n#tcp_port = \"1\"\n"},
		{"a shown list of several lines is not cut in two", "#acl = [\n#  \"x\"\n#]\n", "acl", []string{"y"}, "#acl = [\n#  \"x\"\n#]\nacl = [ \"y\" ]\n"},
		{"windows line ends", "a = 1\r\n", "b", 2, "a = 1\r\nb = 2\r\n"},
		{"a list on one line grows", "l = [\"a\",\"b\"]\n", "l", []string{"a", "b", "c"}, "l = [\"a\",\"b\",\"c\"]\n"},
		{"a list of several lines grows in its style", "l = [\n    'a',\n    'b',\n]\n", "l", []string{"a", "b", "c"},
			"l = [\n    'a',\n    'b',\n    'c',\n]\n"},
		{"a list of several lines shrinks", "l = [\n  \"a\",\n  \"b\"\n]\n", "l", []string{"b"}, "l = [\n  \"b\"\n]\n"},
		{"a list of one element on its line grows", "l = [\n  \"a\"\n]\n", "l", []string{"a", "b"}, "l = [\n  \"a\",\n  \"b\"\n]\n"},
		{"a list becomes empty", "l = [\n  \"a\"\n]\n", "l", []string{}, "l = []\n"},
		{"an empty list is filled", "l = []\n", "l", []string{"a", "b"}, "l = [ \"a\", \"b\" ]\n"},
		{"a comment inside a string shows nothing", "a = \"\"\"\n#b = 1\n\"\"\"\n", "b", 1, "a = \"\"\"\n#b = 1\n\"\"\"\nb = 1\n"},
		{"behind a comment without a newline", "a=1\n#b = 2", "b", 3, "a=1\n#b = 2\nb=3\n"},
		{"one of several on a line", "a=1;b=2;c=3\n", "b", 9, "a=1;b=9;c=3\n"},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		n, err := f.Set(c.key, c.value)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(n.Marshal()); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
		if string(f.Marshal()) != c.src {
			t.Errorf("%s: the old file changed", c.name)
		}
	}
}

func TestSetRefusesWhatCannotBeWritten(t *testing.T) {
	f, _ := Parse([]byte("a=1\n"), "F")
	for _, c := range []struct {
		key   string
		value NewValue
		want  string
	}{
		{"a", "x\x00", `setting "a": a NUL, where libvirt ends the text`},
		{"a", `'"""'`, `setting "a": no kind of quotes can hold it: libvirt's strings have no escapes`},
		{"a", []string{"ok", "x'\""}, `setting "a": element 2: no kind of quotes can hold it: libvirt's strings have no escapes`},
		{"a-b", 1, `setting "a-b": not a name: a letter, then letters, digits and _`},
		{"", 1, `setting "": not a name: a letter, then letters, digits and _`},
		{"a", 1.5, `setting "a": a float64 cannot be written`},
	} {
		if _, err := f.Set(c.key, c.value); errText(err) != c.want {
			t.Errorf("%v: got %v, want %s", c.value, err, c.want)
		}
	}
}

func TestUnsetTakesEveryLineOfTheKey(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a line", "b=1\na=2\nc=3\n", "b=1\nc=3\n"},
		{"duplicates", "a=1\nb=1\na=2\n", "b=1\n"},
		{"the only line", "a=1\n", ""},
		{"the only line beside blanks", "\n  a=1\n\n", ""},
		{"the comment behind stays", "a=1 # why\nb=1\n", "# why\nb=1\n"},
		{"the first of a line", "a=1; b=2\n", "b=2\n"},
		{"the middle of a line", "c=0;a=1;b=2\n", "c=0;b=2\n"},
		{"the last of a line", "b=2; a=1\n", "b=2; \n"},
		{"with its semicolon", "b=2\na=1;\nc=3\n", "b=2\nc=3\n"},
		{"a list of several lines", "a=[\n1,\n2\n]\nb=1\n", "b=1\n"},
		{"not there", "b=1\n", "b=1\n"},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.Unset("a")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(n.Marshal()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParseValueReadsWhatPeopleType(t *testing.T) {
	for _, c := range []struct {
		key, text string
		want      string // as Set writes it
		err       string
	}{
		{"listen_tls", "yes", "1", ""},
		{"listen_tls", "0", "0", ""},
		{"listen_tls", "maybe", "", `setting "listen_tls": "maybe" is neither 0 nor 1`},
		{"tls_port", "16514", `"16514"`, ""},
		{"tls_port", `"16514"`, `"16514"`, ""},
		{"tls_allowed_dn_list", "C=GB,O=x y,CN=*", `[ "C=GB,O=x y,CN=*" ]`, ""},
		{"tls_allowed_dn_list", `["a", 'b']`, `[ "a", "b" ]`, ""},
		{"tls_allowed_dn_list", `["a", 1]`, "", `setting "tls_allowed_dn_list": an element of the list is no string`},
		{"max_clients", "4294967296", "", `setting "max_clients": "4294967296" is no number in range`},
		{"max_clients", "-1", "", `setting "max_clients": "-1" is no number in range`},
		{"keepalive_interval", "-1", "-1", ""},
		{"tls_priority", "[1]", "", `setting "tls_priority": a list, where one string is wanted`},
		{"something", "5", "5", ""},
		{"something", "five", `"five"`, ""},
	} {
		v, err := ParseValue(Libvirtd, c.key, c.text)
		if errText(err) != c.err {
			t.Errorf("%s %s: %v, want %q", c.key, c.text, err, c.err)
		}
		if err != nil {
			continue
		}
		f, _ := Parse(nil, "F")
		n, err := f.Set(c.key, v)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(n.Marshal()); got != c.key+" = "+c.want+"\n" {
			t.Errorf("%s %s: %q", c.key, c.text, got)
		}
	}
}

func fuzzSeeds(f *testing.F) {
	for _, c := range grammarCases {
		f.Add([]byte(c.src))
	}
	g := newGenerator(3)
	for range 50 {
		f.Add(g.file())
	}
}

func FuzzParse(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []Release{Release9_0, Release12_8} {
			c, err := ParseFor(b, "F", r)
			if err != nil {
				if e, ok := err.(*ParseError); !ok || e.Line < 1 || e.Line > strings.Count(string(b), "\n")+1 || e.Offset > len(b) {
					t.Fatalf("%q: %#v", b, err)
				}
				continue
			}
			if string(c.Marshal()) != string(b) {
				t.Fatalf("%q: Marshal differs", b)
			}
			for _, k := range []Kind{Libvirtd, Virtproxyd, Driver, Client, Admin, QEMU, Other} {
				Lint(c, LintOptions{Kind: k, Run: Run{Libvirt: r, Listen: true}})
				c.Effective(k, Run{Libvirt: r})
			}
			if _, err := json.Marshal(c.Settings()); err != nil {
				t.Fatalf("%q: %v", b, err)
			}
		}
	})
}

// What Set and Unset leave is a file that libvirt reads, with every other setting as it was.
func FuzzSet(f *testing.F) {
	g := newGenerator(4)
	for range 50 {
		f.Add(g.file(), "a", "x", uint8(g.IntN(4)))
		f.Add(g.file(), "tls_allowed_dn_list", "C=GB,CN=x", uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, key, text string, form uint8) {
		old, err := Parse(b, "F")
		if err != nil {
			return
		}
		others := func(f *File) string {
			var s strings.Builder
			for e := range f.Entries() {
				if e.Key != key {
					s.WriteString(e.Key + f.text[e.Value.Start:e.Value.End] + "\n")
				}
			}
			return s.String()
		}
		var v NewValue = text
		switch form % 4 {
		case 1:
			v = 7
		case 2:
			v = []string{}
		case 3:
			v = []string{text, "y", text}
		}
		if n, err := old.Set(key, v); err == nil {
			if others(n) != others(old) {
				t.Fatalf("%q: Set(%q, %q): %q", b, key, v, n.text)
			}
			e, ok := n.Lookup(key)
			got, isList := e.Value.Strings()
			switch v := v.(type) {
			case string:
				ok = ok && e.Value.Text == v
			case []string:
				ok = ok && isList && strings.Join(got, "\x01") == strings.Join(v, "\x01")
			case int:
				ok = ok && e.Value.Int == int64(v)
			}
			if !ok {
				t.Fatalf("%q: Set(%q, %q): %q", b, key, v, n.text)
			}
		} else if _, isValue := err.(*ValueError); !isValue {
			t.Fatalf("%q: Set(%q, %q): %v", b, key, v, err)
		}
		n, err := old.Unset(key)
		if err != nil {
			t.Fatalf("%q: Unset(%q): %v", b, key, err)
		}
		if _, ok := n.Lookup(key); ok || others(n) != others(old) {
			t.Fatalf("%q: Unset(%q): %q", b, key, n.text)
		}
	})
}
