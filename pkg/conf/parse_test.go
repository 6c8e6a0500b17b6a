package conf

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// The lines were recorded from libvirtd 9.0.0 (Debian 12), each file on its own; peer_test.go asks it again.
var grammarCases = []struct{ name, src, want string }{
	{"an empty file", "", ""},
	{"an empty line only", "\n", "2: expecting a name"},
	{"blanks only", "  ", "1: expecting a name"},
	{"a carriage return only", "\r\n", "2: expecting a name"},
	{"a comment without a newline", "#", ""},
	{"a comment after an empty line", "\n#c\n", ""},
	{"blanks at the end", "a=1\n\n\n\t", ""},
	{"a semicolon at the end", "a=1;", ""},
	{"two settings on a line", "a=1;b=2", ""},
	{"two semicolons", "a=1;;b=2", "1: expecting a name"},
	{"a semicolon first", ";a=1", "1: expecting a name"},
	{"a semicolon on its own line", "a=1\n;b=2", "2: expecting a name"},
	{"a carriage return between", "a=1\rb=2", ""},
	{"a name alone", "a", "1: expecting an assignment"},
	{"no value at the end", "a=", "1: expecting a value"},
	{"a value on the next line", "a=\n1", "1: expecting a value"},
	{"an equals sign on the next line", "a\n=1", "1: expecting an assignment"},
	{"an open string", "a=\"x", "1: unterminated string"},
	{"a string over two lines", "a=\"x\n\"", "1: unterminated string"},
	{"an escaped quote", `a="\""`, "1: expecting a separator"},
	{"a backslash", `a="\"`, ""},
	{"the other quote inside", `a='"'`, ""},
	{"triple quotes", `a="""x"""`, ""},
	{"lines inside triple quotes count", "a=\"\"\"x\ny\"\"\"\nb=", "3: expecting a value"},
	{"triple quotes too near the end", `a="""""""`, "1: expecting a separator"},
	{"open triple quotes at the end", "a=\"\"\"x\n\n", "1: expecting a separator"},
	{"open triple quotes", "a=\"\"\"x\n\n\novs_timeout=\"x\"\n", "4: unterminated string"},
	{"three single quotes", "a='''x'''", "1: expecting a separator"},
	{"something behind a string", `a="x"y`, "1: expecting a separator"},
	{"an open list", "a=[", "1: list is not closed with ]"},
	{"an open list, two lines on", "a=[\n\n", "3: list is not closed with ]"},
	{"an open list behind an element", "a=[\"x\"\n", "2: list is not closed with ]"},
	{"an open list behind a comma", "a=[\"x\",\n", "2: expecting a value"},
	{"a comma at the end of a list", `a=["x",]`, ""},
	{"two commas", `a=["x",,]`, "1: expecting a value"},
	{"a comma first", `a=[,"x"]`, "1: expecting a value"},
	{"no comma", `a=["x" "y"]`, "1: expecting a separator in list"},
	{"a comment in a list", "a=[#c\n]", "1: expecting a value"},
	{"a comment behind an element", "a=[\"x\"#c\n]", "1: expecting a separator in list"},
	{"a comment behind a comma", "a=[\n\"x\", #c\n\"y\"]", "2: expecting a value"},
	{"lists in a list", "a=[[1],[2]]", ""},
	{"a digit first", "1a=1", "1: expecting a name"},
	{"an underscore first", "_a=1", "1: expecting a name"},
	{"a hyphen in a name", "a-b=1", "1: expecting an assignment"},
	{"a section", "[x]", "1: expecting a name"},
	{"yes", "a=yes", "1: expecting a value"},
	{"two values", "a=1 2", "1: expecting a separator"},
	{"hex", "a=0x1", "1: expecting a separator"},
	{"a sign alone", "a=-", "1: unterminated number"},
	{"two signs", "a=+-1", "1: unterminated number"},
	{"a plus", "a=+1", ""},
	{"a number beyond 64 bits", "a=99999999999999999999999", ""},
	{"a form feed", "a=1\n\x0c", "2: expecting a name"},
	{"a byte order mark", "\xef\xbb\xbfa=1", "1: expecting a name"},
	{"bytes that are not UTF-8", "a=\"\xff\"", ""},
	{"a NUL in a string", "a=\"x\x00y\"", ""},
	{"a NUL between", "a=1\x00b=2", "1: expecting a separator"},
	{"a comment ends at a carriage return", "#c\r!", "1: expecting a name"},
	{"a comment behind a semicolon", "a = \"x\" ; # c\nb", "2: expecting an assignment"},
}

func TestGrammarIsThatOfLibvirt(t *testing.T) {
	for _, c := range grammarCases {
		f, err := Parse([]byte(c.src), "F")
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "configuration file syntax error: F:")
		}
		if got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.name, c.src, got, c.want)
		}
		if err == nil && string(f.Marshal()) != c.src {
			t.Errorf("%s: Marshal gives %q", c.name, f.Marshal())
		}
	}
}

func TestNumbersWrapInOldReleasesAndAreRefusedInNewOnes(t *testing.T) {
	for _, c := range []struct {
		src     string
		want    int64
		refused bool
	}{
		{"a=9223372036854775807", 9223372036854775807, false},
		{"a=9223372036854775808", -9223372036854775808, true},
		{"a=-9223372036854775808", -9223372036854775808, true},
		{"a=18446744073709551615", -1, true},
		{"a=18446744073709551617", 1, true},
		{"a=-0", 0, false},
		{"a=007", 7, false},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := f.Lookup("a"); e.Value.Int != c.want || e.Value.Overflow != c.refused {
			t.Errorf("%s: %d, overflow %v", c.src, e.Value.Int, e.Value.Overflow)
		}
		_, err = ParseFor([]byte(c.src), "F", Release11_3)
		want := ""
		if c.refused {
			want = "numerical overflow: F:1: numeric overflow in conf value"
		}
		if got := errText(err); got != want {
			t.Errorf("%s: 11.3: %q, want %q", c.src, got, want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestFilesBeyondTenMebibytesAreRefused(t *testing.T) {
	b := append([]byte("#"), bytes.Repeat([]byte("x"), MaxSize-1)...)
	if _, err := Parse(b, "F"); err != nil {
		t.Errorf("10 MiB: %v", err)
	}
	_, err := Parse(append(b, 'x'), "F")
	if want := "Failed to read file 'F': Value too large for defined data type"; errText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDeepListsDoNotOverflowTheStack(t *testing.T) {
	_, err := Parse(append([]byte("a="), bytes.Repeat([]byte("["), MaxSize-2)...), "F")
	if err == nil {
		t.Error("accepted")
	}
}

func TestTheFirstOfTwoKeysCounts(t *testing.T) {
	f, err := Parse([]byte("a=1\nb=2 # two\na=3\n"), "F")
	if err != nil {
		t.Fatal(err)
	}
	e := slices.Collect(f.Entries())
	if len(e) != 3 || e[0].Shadowed || !e[2].Shadowed || e[1].Comment != "# two" || e[2].Line != 3 {
		t.Errorf("%+v", e)
	}
	if v, ok := f.Lookup("a"); !ok || v.Value.Int != 1 {
		t.Errorf("a is %+v", v)
	}
}
