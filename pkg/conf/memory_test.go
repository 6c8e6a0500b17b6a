package conf

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// bigFiles are what an attacker would make a file of this size of.
func bigFiles(size int) []bigFile {
	filled := func(before, piece, after string) []byte {
		return []byte(before + strings.Repeat(piece, (size-len(before)-len(after))/len(piece)) + after)
	}
	var distinct bytes.Buffer
	for i := 0; distinct.Len() < size-20; i++ {
		fmt.Fprintf(&distinct, "b%x=1\n", i)
	}
	return []bigFile{
		{"ordinary settings", filled("", "# who may connect\ntls_allowed_dn_list = [\n  \"C=GB,O=Example,CN=admin@example.com\",\n]\n", "")},
		{"one string", filled("a = \"", "x", "\"")},
		{"comments", filled("", "# comment\n", "")},
		{"empty lines", filled("a=1", "\n", "")},
		{"open lists", filled("a = ", "[", "")},
		{"no text", filled("", "\x00\xff\n", "")},
		{"the shortest settings", filled("", "a=1\n", "")},
		{"the shortest settings on one line", filled("", "a=1;", "")},
		{"settings that differ", distinct.Bytes()},
		{"a setting that stands twice", filled("", "tls_port='1'\n", "")},
		{"a list of the shortest strings", filled("tls_allowed_dn_list=[", "\"\",", "]")},
		{"a list of the shortest patterns", filled("tls_allowed_dn_list=[", "'*',", "]")},
		{"one pattern", filled("tls_allowed_dn_list=['", "*?CN=,", "']")},
		{"one priority", filled("tls_priority='NORMAL", ":+X", "'")},
		{"one list of filters", filled("log_filters='", "1:a ", "'")},
		{"lists in lists", filled("a="+strings.Repeat("[", 5000), "1,", strings.Repeat("]", 5000))},
	}
}

type bigFile struct {
	name string
	text []byte
}

// TestMemoryStaysAFewTimesTheFile counts all that is allocated while a file is parsed, garbage included.
func TestMemoryStaysAFewTimesTheFile(t *testing.T) {
	for _, c := range bigFiles(MaxSize) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, err := Parse(c.text, "F")
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(f)
		if n := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(c.text)); n > 4.5 {
			t.Errorf("%s: %.1f times the file's size (%v)", c.name, n, err)
		} else {
			t.Logf("%s: %.1f (%v)", c.name, n, err)
		}
	}
}

// TestJudgingStaysAFewTimesTheFile looks at what is alive while a file is judged.
func TestJudgingStaysAFewTimesTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	for _, c := range bigFiles(1 << 20) {
		start := time.Now()
		n := float64(peak(func() { Check(c.text, "F", LintOptions{Kind: Libvirtd, Run: Run{Listen: true}}) })) / float64(len(c.text))
		if n > 8 {
			t.Errorf("%s: %.1f times the file's size", c.name, n)
		} else {
			t.Logf("%s: %.1f, %v", c.name, n, time.Since(start))
		}
	}
}

// peak gives how much of the heap is alive at most while f runs, beyond what is before, in octets.
func peak(f func()) uint64 {
	live := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before := live()
	done, most := make(chan bool), make(chan uint64)
	go func() {
		highest := before
		for {
			select {
			case <-done:
				most <- highest - before
				return
			case <-time.After(time.Millisecond):
				highest = max(highest, live())
			}
		}
	}()
	f()
	close(done)
	return <-most
}
