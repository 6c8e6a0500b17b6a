package vectors

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// longest is the longest line: verification tests with all their files in them.
const longest = 64 << 20

// Lines gives the lines of a file that is packed with gzip.
func Lines(t testing.TB, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var out []string
	s := bufio.NewScanner(z)
	s.Buffer(nil, longest)
	for s.Scan() {
		out = append(out, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return out
}

// JSON gives the lines of a file that is packed with gzip, each of which is a JSON value.
func JSON[T any](t testing.TB, file string) []T {
	t.Helper()
	lines := Lines(t, file)
	out := make([]T, len(lines))
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &out[i]); err != nil {
			t.Fatalf("%s: line %d: %v", file, i+1, err)
		}
	}
	return out
}

// Hex gives the octets that hexadecimal digits stand for; white space between them does not count.
func Hex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
