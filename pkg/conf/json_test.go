package conf

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSettingsAsJSON(t *testing.T) {
	deep := strings.Repeat("[", 1500) + "1" + strings.Repeat("]", 1500)
	for _, c := range []struct{ name, src, want string }{
		{"no setting", "# nothing\n", `{}`},
		{"each type, sorted, the first of two", "b = 'x'\na = -1\nb = 2\n", `{"a":-1,"b":"x"}`},
		{"lists", "a = []\nb = [1, \"x\", 'y',]\n", `{"a":[],"b":[1,"x","y"]}`},
		{"lists in lists", "a = [[], [[1], []], [2, [3, [4]]], 5]", `{"a":[[],[[1],[]],[2,[3,[4]]],5]}`},
		{"what JSON escapes", "a = ['\"[{:,', '\\', '<&>', '\xff']", `{"a":["\"[{:,","\\","<&>","\ufffd"]}`},
		{"lists that no reader of JSON follows", "a=" + deep, `{"a":` + strings.Repeat("[", 1000) + `"` + deep[1000:2001] + `"` + strings.Repeat("]", 1000) + `}`},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, err := json.Marshal(f.Settings())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		// json.Marshal escapes for HTML what MarshalJSON gives.
		if got := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(got)); got != c.want {
			t.Errorf("%s:\n got %.200s\nwant %.200s", c.name, got, c.want)
		}
	}
}
