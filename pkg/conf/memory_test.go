package conf

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
)

// TestMemoryStaysAFewTimesTheFile counts all that is allocated while a file is parsed, garbage included. What an
// administrator writes takes a few times its size up to libvirt's limit of 10 MiB; nothing but the shortest settings there
// can be, of 4 octets, takes the 160 octets that each is described with.
func TestMemoryStaysAFewTimesTheFile(t *testing.T) {
	fill := func(size int, piece string) []byte { return []byte(strings.Repeat(piece, size/len(piece))) }
	long := func(before, piece, after string) []byte {
		return []byte(before + strings.Repeat(piece, (1<<20)/len(piece)) + after)
	}
	for _, c := range []struct {
		name  string
		text  []byte
		times float64
	}{
		{"ordinary settings, 10 MiB", fill(MaxSize, "# who may connect\ntls_allowed_dn_list = [\n  \"C=GB,O=Example,CN=admin@example.com\",\n]\n"), 15},
		{"one string, 10 MiB", append(append([]byte("a = \""), bytes.Repeat([]byte("x"), MaxSize-16)...), '"'), 3},
		{"comments, 10 MiB", fill(MaxSize, "# comment\n"), 3},
		{"empty lines, 10 MiB", append([]byte("a=1"), bytes.Repeat([]byte("\n"), MaxSize-3)...), 3},
		{"nested lists, 10 MiB", append([]byte("a = "), bytes.Repeat([]byte("["), MaxSize-4)...), 3},
		{"no text, 10 MiB", fill(MaxSize, "\x00\xff\n"), 3},
		{"the shortest settings", fill(1<<20, "a=1\n"), 110},
		{"the shortest settings on one line", fill(1<<20, "a=1;"), 110},
		{"a list of the shortest strings", long("a = [", "\"\",", "]"), 115},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, err := Parse(c.text, "F")
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(f)
		if n := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(c.text)); n > c.times {
			t.Errorf("%s: %.1f times the file's size, at most %.0f were expected (%v)", c.name, n, c.times, err)
		} else {
			t.Logf("%s: %.1f", c.name, n)
		}
	}
}
