package priority_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

// listing gives what gnutls-cli --list --priority prints for a string, and its message on failure.
func listing(s string, o priority.Options) (stdout, stderr string) {
	var b strings.Builder
	fmt.Fprintf(&b, "Cipher suites for %s\n", s)
	x, err := priority.Expand(s, o)
	var e *priority.Error
	if errors.As(err, &e) {
		if e.Code == priority.InvalidRequest {
			return b.String(), "Syntax error at: " + s[e.Offset:] + "\n"
		}
		return b.String(), "Error in priorities: " + e.Text() + "\n"
	}
	for _, c := range x.CipherSuites {
		fmt.Fprintf(&b, "%-50s\t0x%02x, 0x%02x\n", c.Name, c.ID>>8, c.ID&0xff)
	}
	b.WriteString("\n")
	for _, l := range []struct {
		title, prefix string
		names         []string
	}{
		{"Protocols", "VERS-", x.Protocols}, {"Ciphers", "", x.Ciphers}, {"MACs", "", x.MACs},
		{"Key Exchange Algorithms", "", x.KeyExchanges}, {"Groups", "GROUP-", x.Groups}, {"PK-signatures", "SIGN-", x.Signatures},
	} {
		if len(l.names) == 0 {
			fmt.Fprintf(&b, "%s: none\n", l.title)
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", l.title, l.prefix+strings.Join(l.names, ", "+l.prefix))
	}
	return b.String(), ""
}

// gnutlsListing runs gnutls-cli. The last column, the lowest version of a suite, is cut off.
func gnutlsListing(t testing.TB, s string, env ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.Command("gnutls-cli", "--list", "--priority="+s)
	cmd.Env = append(cmd.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("gnutls-cli for %q: %v", s, err)
		}
	}
	return normalise(out.String()), errs.String()
}

// normalise cuts the last column off a listing.
func normalise(listing string) string {
	lines := strings.SplitAfter(listing, "\n")
	for i, l := range lines {
		if f := strings.Split(l, "\t"); i > 0 && len(f) == 3 {
			lines[i] = f[0] + "\t" + f[1] + "\n"
		}
	}
	return strings.Join(lines, "")
}

// installed gives the version of the gnutls-cli that is there, as Options.
func installed(t testing.TB) priority.Options {
	t.Helper()
	peer.Need(t, "gnutls-cli")
	out, err := exec.Command("gnutls-cli", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	r, err := priority.ParseRelease(strings.TrimSpace(strings.TrimPrefix(line, "gnutls-cli")))
	if err != nil {
		t.Fatal(err)
	}
	return priority.Options{GnuTLS: r}
}

// compare runs strings through both, two at a time.
func compare(t *testing.T, all []string, o priority.Options, env ...string) {
	t.Helper()
	next := make(chan string)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for s := range next {
				wantOut, wantErr := gnutlsListing(t, s, env...)
				gotOut, gotErr := listing(s, o)
				if gotOut != wantOut || gotErr != wantErr {
					t.Errorf("%q:\n--- ours\n%s%s--- gnutls-cli\n%s%s", s, gotOut, gotErr, wantOut, wantErr)
				}
			}
		})
	}
	for _, s := range all {
		next <- s
	}
	close(next)
	wg.Wait()
}

func TestExpandPrintsWhatGnutlsCliPrintsForGeneratedStrings(t *testing.T) {
	o := installed(t)
	n := 2000
	if testing.Short() {
		n = 200
	}
	g := newGenerator(20261125)
	all := make([]string, 0, n)
	accepted := 0
	for range n {
		s := g.priority()
		if _, err := priority.Expand(s, o); err == nil {
			accepted++
		}
		all = append(all, s)
	}
	if accepted < n/4 {
		t.Errorf("only %d of %d generated strings are accepted: the comparison says little", accepted, n)
	}
	compare(t, all, o, "GNUTLS_SYSTEM_PRIORITY_FILE=/nonexistent")
}

func TestExpandPrintsWhatGnutlsCliPrintsWithSystemFiles(t *testing.T) {
	o := installed(t)
	files, err := filepath.Glob("testdata/configs/*.config")
	if err != nil || len(files) == 0 {
		t.Fatalf("no system files: %v", err)
	}
	g := newGenerator(7)
	for _, f := range files {
		f, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		o.System = readSystem(t, filepath.Base(f))
		var all []string
		for _, k := range []string{"SYSTEM", "LIBVIRT", "NOSUCH,QEMU", "EMPTY"} {
			all = append(all, "@"+k, "@"+k+":"+g.element(), "@"+k+":"+g.element())
		}
		all = append(all, "NORMAL", g.priority(), g.priority())
		compare(t, all, o, "GNUTLS_SYSTEM_PRIORITY_FILE="+f)
	}
}

// BenchmarkExpandAgainstGnutlsCli reports how many times faster Expand is than a gnutls-cli process, in one run.
func BenchmarkExpandAgainstGnutlsCli(b *testing.B) {
	installed(b)
	for _, s := range []string{"NORMAL", "NORMAL:+NOSUCH", "NONE:+VERS-TLS1.2:+CIPHER-ALL:+MAC-ALL:+KX-ALL:+SIGN-ALL:+GROUP-ALL"} {
		b.Run(s, func(b *testing.B) {
			process := fastest(20, func() { gnutlsListing(b, s) })
			ours := fastest(20, func() {
				for range 100 {
					priority.Expand(s, priority.Options{})
				}
			}) / 100
			for b.Loop() {
				priority.Expand(s, priority.Options{})
			}
			b.ReportMetric(float64(process)/float64(ours), "times-faster")
		})
	}
}

// fastest gives the shortest of n runs: others use the machine too.
func fastest(n int, run func()) time.Duration {
	best := time.Hour
	for range n {
		start := time.Now()
		run()
		best = min(best, time.Since(start))
	}
	return best
}
