package conf

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// Big files are judged in seconds, whatever they are made of. The bound is wide enough for a loaded machine and the race
// detector; what grows with the square of the size takes many minutes.
func TestBigFilesAreJudgedInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	const size = 256 << 10
	var distinct bytes.Buffer
	for i := 0; distinct.Len() < size; i++ {
		fmt.Fprintf(&distinct, "tls_allow%d=1\n", i)
	}
	for name, b := range map[string][]byte{
		"one key":         bytes.Repeat([]byte("tls_port='1'\n"), size/13),
		"many keys":       distinct.Bytes(),
		"comments":        bytes.Repeat([]byte("#a = 1\n a=1\n"), size/12),
		"one list":        append(append([]byte("tls_allowed_dn_list=["), bytes.Repeat([]byte("'CN=*',"), size/7)...), ']'),
		"one pattern":     append(append([]byte("tls_allowed_dn_list=['"), bytes.Repeat([]byte("*?CN=,"), size/6)...), "']"...),
		"one priority":    append(append([]byte("tls_priority='NORMAL"), bytes.Repeat([]byte(":+X"), size/3)...), '\''),
		"log filters":     append(append([]byte("log_filters='"), bytes.Repeat([]byte("1:a "), size/4)...), '\''),
		"triple quotes":   bytes.Repeat([]byte("a=\"\"\"\n\"\"\"\n"), size/10),
		"a wide file":     bytes.Repeat([]byte("a=1;"), size/4),
		"nothing but \\r": bytes.Repeat([]byte("a=1\r"), size/4),
	} {
		start := time.Now()
		f, _ := Check(b, "F", LintOptions{Kind: Libvirtd, Run: Run{Listen: true}})
		if f == nil {
			t.Errorf("%s: not read", name)
			continue
		}
		if _, err := f.Set("a", "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: took %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
